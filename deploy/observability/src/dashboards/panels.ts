// Dashboards as data: what each panel shows. Built with Grafana's own schema (Foundation SDK), so that a wrong field does not compile.
import { LegendDisplayMode, LegendPlacement, VizLegendOptionsBuilder } from '@grafana/grafana-foundation-sdk/common';
import {
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  RowBuilder,
  TextBoxVariableBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** Grafana's names of units. */
export type Unit = 'short' | 'percentunit' | 's' | 'bytes' | 'Bps' | 'ops' | 'd' | 'currencyUSD';

export interface Panel {
  readonly title: string;
  /** For whoever sees the panel for the first time. */
  readonly about: string;
  readonly unit: Unit;
  /** PromQL and its legend in Grafana's form. */
  readonly queries: readonly (readonly [expr: string, legend: string])[];
  /** A number instead of a line. */
  readonly stat?: boolean;
  readonly max?: number;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly about: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
  /** Numbers that whoever looks may change. */
  readonly numbers?: readonly { readonly name: string; readonly label: string; readonly value: string }[];
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own way to name a variable
const datasource = { type: 'prometheus', uid: '${datasource}' };

export const buildDashboard = ({ uid, title, about, rows, numbers = [] }: Dashboard): object => {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(about)
    .tags(['aegis'])
    .timezone('browser')
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .link(
      new DashboardLinkBuilder('Aegis')
        .type(DashboardLinkType.Dashboards)
        .tags(['aegis'])
        .asDropdown(true)
        .keepTime(true),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'));
  for (const { name, label, value } of numbers)
    builder.withVariable(new TextBoxVariableBuilder(name).label(label).defaultValue(value));
  let id = 0;
  const next = (): number => {
    id += 1;
    return id;
  };
  for (const row of rows) {
    builder.withRow(new RowBuilder(row.title).id(next()));
    for (const panel of row.panels) builder.withPanel((panel.stat === true ? number(panel) : line(panel)).id(next()));
  }
  return builder.build();
};

const queriesOf = ({ queries }: Panel): DataqueryBuilder[] =>
  queries.map(([expr, legend], at) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode(65 + at))
      .expr(expr)
      .legendFormat(legend)
      .range(),
  );

const number = (panel: Panel) =>
  new StatBuilder()
    .title(panel.title)
    .description(panel.about)
    .datasource(datasource)
    .unit(panel.unit)
    .height(4)
    .span(6)
    .targets(queriesOf(panel));

const line = (panel: Panel) => {
  const builder = new TimeseriesBuilder()
    .title(panel.title)
    .description(panel.about)
    .datasource(datasource)
    .unit(panel.unit)
    .height(8)
    .span(12)
    .fillOpacity(8)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .targets(queriesOf(panel));
  return panel.max === undefined ? builder : builder.min(0).max(panel.max);
};
