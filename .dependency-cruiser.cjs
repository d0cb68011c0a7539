// Who may import whom. The rooms of a service are api → flows → domain, store and peers behind their contracts.
const service = '^(services|agents)/[^/]+/src';
const test = '[.]test[.]ts$';

module.exports = {
  forbidden: [
    {
      name: 'domain-is-pure',
      comment: 'domain decides from what it is given: no generated, native, kit or Node code',
      severity: 'error',
      from: { path: `${service}/domain/`, pathNot: test },
      to: { pathNot: [`${service}/domain/`, '^packages/errors/'] },
    },
    {
      name: 'doors-go-through-flows',
      severity: 'error',
      from: { path: `${service}/api/`, pathNot: test },
      to: { path: `${service}/(store|peers)/` },
    },
    {
      name: 'flows-know-contracts-only',
      comment: 'a flow asks for a store or a peer by contract; main.ts chooses the implementation',
      severity: 'error',
      from: { path: `${service}/flows/`, pathNot: test },
      to: { path: `${service}/(store|peers)/`, pathNot: '/contract[.]ts$' },
    },
    {
      name: 'flows-are-not-called-from-below',
      severity: 'error',
      from: { path: `${service}/(domain|store|peers)/`, pathNot: test },
      to: { path: `${service}/(api|flows)/` },
    },
    {
      name: 'generated-types-stop-at-the-doors',
      severity: 'error',
      from: { path: `${service}/(domain|flows|store)/`, pathNot: test },
      to: { path: '^packages/contracts/' },
    },
    {
      name: 'no-service-imports-service',
      severity: 'error',
      from: { path: '^(services|agents)/([^/]+)/' },
      to: { path: '^(services|agents)/', pathNot: '^(services|agents)/$2/' },
    },
    {
      name: 'packages-never-look-up',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(services|agents|cli)/' },
    },
    {
      name: 'flower-stays-at-the-edge',
      comment: "Flower's wire is known to the gateway and the guard only; `aegis doctor` plays a node",
      severity: 'error',
      from: {
        path: '^(packages|services|agents|cli)/',
        pathNot: ['^packages/(flower-wire|contracts)/', '^services/gateway/', '^agents/guard/', '^cli/src/doctor/'],
      },
      to: { path: ['^packages/flower-wire/', '^packages/contracts/src/gen/flwr/'] },
    },
    {
      name: 'nothing-imports-tests',
      severity: 'error',
      from: { path: '^(packages|services|agents|cli)/' },
      to: { path: '^tests/' },
    },
    { name: 'no-cycles', severity: 'error', from: { pathNot: '^packages/contracts/' }, to: { circular: true } },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['packages/contracts/src/gen/grpc', '[.]node$'] },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js'],
    },
  },
};
