// cert-manager's own controllers for issuers that sign themselves and for authorities in a Secret, in one process: what the chart's
// `certificates.mode: cert-manager` needs. Its released program is a module of its own, which no module proxy has; the controllers are not.
// Left out: ACME, Vault, Venafi, metrics, leader election, and the webhook and cainjector, which are processes of their own.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

// run takes no arguments: those that cert-manager's chart passes are for what is left out.
func run(ctx context.Context) error {
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: os.Getenv("POD_NAMESPACE")},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
	})
	if err != nil {
		return err
	}
	// Every package above registered its controller when it was loaded. Each asks the informers for what it watches while it is made,
	// so all are made before the informers start.
	controllers := map[string]controller.Interface{}
	for name, construct := range controller.Known() {
		if controllers[name], err = construct(factory); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.SharedInformerFactory.Start(ctx.Done())

	failed := make(chan error, len(controllers)+1)
	for name, one := range controllers {
		go func() { failed <- wrap(name, one.Run(2, ctx)) }()
	}
	// The chart's liveness probe asks here.
	go func() { failed <- http.ListenAndServe(":9403", http.HandlerFunc(alive)) }()
	log.Printf("%d controllers are running", len(controllers))
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func wrap(name string, err error) error { return fmt.Errorf("controller %s ended: %w", name, err) }

func alive(http.ResponseWriter, *http.Request) {}
