// What a PromQL expression asks for, by the grammar that Grafana and Prometheus themselves edit with.
import { parser } from '@prometheus-io/lezer-promql';

export interface Asked {
  readonly metric: string;
  /** Labels that it is chosen or grouped by. */
  readonly labels: readonly string[];
}

/** Grafana puts these in before Prometheus reads the expression. */
const filledIn = (expression: string): string =>
  expression
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$__range', '1h')
    .replace(/\$\{?[a-z_]+\}?/g, '1');

/** Every series that the expression reads. Throws, naming the place, for what is no PromQL. */
export const askedBy = (expression: string): Asked[] => {
  const text = filledIn(expression);
  const asked: Asked[] = [];
  parser.parse(text).iterate({
    enter: ({ name, from, to, node }) => {
      if (node.type.isError) throw new Error(`no PromQL at ${from}, "${text.slice(from, from + 20)}": ${expression}`);
      if (name !== 'VectorSelector') return;
      const metric = node.getChild('Identifier');
      if (metric === null) throw new Error(`a selector without a metric: ${text.slice(from, to)}`);
      const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
      const labels = matchers.map((matcher) => {
        const label = matcher.getChild('LabelName');
        return label === null ? '' : text.slice(label.from, label.to);
      });
      asked.push({ metric: text.slice(metric.from, metric.to), labels });
    },
  });
  return asked;
};
