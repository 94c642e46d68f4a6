// Draws panels of the dashboards in a browser with Grafana's own components. What Grafana's frontend has besides the
// package @grafana/ui stands here: data frames of Prometheus's answers, and how each kind of panel uses its components.

import { arc, interpolateOranges, pie } from "d3";
import { createRoot } from "react-dom/client";

// Not imported: @grafana/ui 12.0.2 lacks some of its own exports where it is built as modules.
const data = require("@grafana/data");
const ui = require("@grafana/ui");

const theme = data.createTheme({ colors: { mode: "dark" } });
const timeZone = "utc";
const replaceVariables = (text) => text; // no variable is left in what is drawn
const noAction = () => {};

// Grafana's grid: 24 columns, rows of 30 pixels, 8 pixels between panels.
const GAP = 8;
const WIDTH = 1880; // what Grafana leaves to panels of a screen of 1920
const COLUMN = WIDTH / 24;
const ROW = 30;
const size = ({ w, h }) => ({ width: Math.round(w * COLUMN - GAP), height: h * (ROW + GAP) - GAP });
const place = ({ x, y }, top) => ({ left: Math.round(x * COLUMN), top: (y - top) * (ROW + GAP) });

// A frame a series, as Grafana's Prometheus data source makes them: its legend is the name that overrides match. A
// step at which the series was not there is a gap.
function frame({ refId, legend, times }, { metric, values }) {
  const name = legend.replace(/{{\s*(\w+)\s*}}/g, (_, label) => metric[label] ?? "");
  const value = { name: "Value", type: data.FieldType.number, labels: metric, config: { displayNameFromDS: name } };
  const at = new Map(values.map(([seconds, text]) => [seconds, Number(text)]));
  return data.createDataFrame({
    refId,
    fields: [
      { name: "Time", type: data.FieldType.time, values: times.map((seconds) => seconds * 1000) },
      { ...value, values: times.map((seconds) => at.get(seconds) ?? null) },
    ],
  });
}

// Grafana keeps a registry of the keys that each plugin reads; here it is what the dashboard says of this panel.
function registry({ defaults, overrides }) {
  const plain = Object.keys(defaults).filter((key) => key !== "custom" && key !== "links");
  const custom = Object.keys(defaults.custom ?? {}).map((key) => `custom.${key}`);
  const overridden = overrides.flatMap((rule) => rule.properties.map((property) => property.id));
  return new data.Registry(() => [...new Set([...plain, ...custom, ...overridden])].map((id) => ({
    id,
    name: id,
    path: id.replace(/^custom\./, ""),
    isCustom: id.startsWith("custom."),
    process: (value) => value,
    shouldApply: (field) => field.type !== data.FieldType.time,
  })));
}

function overridden(made, { fieldConfig }) {
  const fieldConfigRegistry = registry(fieldConfig);
  return data.applyFieldOverrides({ data: made, fieldConfig, fieldConfigRegistry, replaceVariables, theme, timeZone });
}

function frames({ panel, answers }) {
  return overridden(answers.flatMap((answer) => answer.series.map((series) => frame(answer, series))), panel);
}

// A frame a query, with a column a label: as Grafana's Prometheus data source answers what asks for a table.
function tabled({ refId, series }) {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const column = (name) => ({ name, type: data.FieldType.string, config: {}, values: series.map((one) => one.metric[name] ?? "") });
  const times = series.map(({ values: [[seconds]] }) => seconds * 1000);
  const values = series.map(({ values: [[, text]] }) => Number(text));
  return data.createDataFrame({
    refId,
    fields: [
      { name: "Time", type: data.FieldType.time, values: times },
      ...labels.map(column),
      { name: `Value #${refId}`, type: data.FieldType.number, config: {}, values },
    ],
  });
}

const { mergeTransformer, organizeFieldsTransformer } = data.standardTransformers;
data.standardTransformersRegistry.setInit(() => [mergeTransformer, organizeFieldsTransformer].map((transformation) => ({
  id: transformation.id,
  name: transformation.name,
  transformation,
  editor: null,
})));

function transformed(made, transformations) {
  let out = made;
  data.transformDataFrame(transformations, made).subscribe((answer) => { out = answer; });
  return out;
}

// What is no number, such as the quantile of a window without an event, is a gap: so Grafana's panel has it. Where it comes
// first the plot would have no axis.
function gapped(made) {
  const gap = (value) => (Number.isFinite(value) ? value : null);
  const numbers = (field) => (field.type === data.FieldType.number ? { ...field, values: field.values.map(gap) } : field);
  return made.map((one) => ({ ...one, fields: one.fields.map(numbers) }));
}

function Lines({ drawn, width, height }) {
  const [from, to] = [data.dateTime(drawn.start * 1000), data.dateTime(drawn.end * 1000)];
  const timeRange = { from, to, raw: { from, to } };
  const { legend } = drawn.panel.options;
  return <ui.TimeSeries {...{ frames: gapped(frames(drawn)), timeRange, timeZone, width, height, legend }} />;
}

function reduced(drawn) {
  const { fieldConfig, options } = drawn.panel;
  const { reduceOptions } = options;
  return data.getFieldDisplayValues({ data: frames(drawn), fieldConfig, reduceOptions, replaceVariables, theme, timeZone });
}

function Figures({ drawn, width, height }) {
  const { options } = drawn.panel;
  const draw = ({ value, alignmentFactors, ...box }) => (
    <ui.BigValue {...options} {...box} {...{ value: value.display, alignmentFactors, theme }} />
  );
  return (
    <ui.VizRepeater
      getValues={() => reduced(drawn)}
      getAlignmentFactors={data.getDisplayValueAlignmentFactors}
      renderValue={draw}
      itemSpacing={3}
      autoGrid
      {...{ width, height, orientation: options.orientation }}
    />
  );
}

// @grafana/ui has the pie's legend, colours and units; the ring itself is its plugin's own, of d3, as it is here.
function Ring({ drawn, width, height }) {
  const { options } = drawn.panel;
  const values = reduced(drawn).filter(({ display }) => !Number.isNaN(display.numeric));
  const total = values.reduce((sum, { display }) => sum + display.numeric, 0);
  const columns = {
    value: ({ display }) => ({ title: "Value", text: data.formattedValueToString(display), numeric: display.numeric }),
    percent: ({ display: { numeric }, field }) => {
      const share = numeric / total;
      return { title: "Percent", text: `${(share * 100).toFixed(field.decimals ?? 0)}%`, numeric: share };
    },
  };
  const item = (value) => ({
    label: value.display.title,
    color: value.display.color,
    yAxis: 1,
    getDisplayValues: () => options.legend.values.map((column) => columns[column](value)),
  });
  const items = [...values].sort((one, other) => other.display.numeric - one.display.numeric).map(item);
  const { placement, displayMode } = options.legend;
  const legend = <ui.VizLegend {...{ items, placement, displayMode }} />;
  return (
    <ui.VizLayout {...{ width, height, legend }}>
      {(w, h) => {
        const radius = Math.min(w, h) / 2 - 8;
        const slice = arc().outerRadius(radius).innerRadius(options.pieType === "donut" ? radius / 1.5 : 0);
        const slices = pie().value(({ display }) => display.numeric)(values);
        return (
          <svg width={w} height={h}>
            <g transform={`translate(${w / 2},${h / 2})`}>
              {slices.map((one) => (
                <path key={one.index} d={slice(one)} fill={one.data.display.color} stroke={theme.colors.background.primary} />
              ))}
            </g>
          </svg>
        );
      }}
    </ui.VizLayout>
  );
}

function Bars({ drawn, width, height }) {
  const { options } = drawn.panel;
  const draw = ({ value, alignmentFactors, orientation, ...box }) => (
    <ui.BarGauge
      {...options}
      {...box}
      {...{ value: value.display, field: value.field, display: value.view?.getFieldDisplayProcessor?.(0) }}
      {...{ alignmentFactors, orientation, theme, itemSpacing: 8, valueDisplayMode: options.valueMode }}
    />
  );
  const { minVizHeight, maxVizHeight } = options;
  return (
    <ui.VizRepeater
      getValues={() => reduced(drawn)}
      getAlignmentFactors={data.getDisplayValueAlignmentFactors}
      renderValue={draw}
      itemSpacing={8}
      {...{ width, height, minVizHeight, maxVizHeight, orientation: options.orientation }}
    />
  );
}

function Rows({ drawn, width, height }) {
  const { panel, answers } = drawn;
  const asked = answers.filter(({ series }) => series.length).map(tabled);
  const [frame] = overridden(transformed(asked, panel.transformations ?? []), panel);
  return <ui.Table {...{ data: frame, width, height, initialSortBy: panel.options.sortBy, cellHeight: "sm" }} />;
}

// @grafana/ui has no heatmap, which is a plugin's own: cells by time and bucket, as many colours as the panel says.
function Heat({ drawn, width, height }) {
  const [answer] = drawn.answers;
  const bound = ({ metric }) => Number(metric.le.replace("+Inf", "Infinity"));
  const buckets = [...answer.series].sort((one, other) => bound(one) - bound(other));
  const at = buckets.map(({ values }) => new Map(values.map(([seconds, text]) => [seconds, Number(text)])));
  const inside = at.map((own, index) => answer.times.map((seconds) => (own.get(seconds) ?? 0) - (at[index - 1]?.get(seconds) ?? 0)));
  const shown = inside.map((row, index) => ({ row, name: buckets[index].metric.le })).filter(({ row }) => row.some((n) => n > 1e-9));
  const most = Math.max(...shown.flatMap(({ row }) => row));
  const [left, bottom] = [56, 22];
  const [w, h] = [(width - left) / answer.times.length, (height - bottom) / shown.length];
  const label = (seconds) => data.dateTimeFormat(seconds * 1000, { format: "HH:mm", timeZone });
  const text = { fill: theme.colors.text.secondary, fontSize: 12 };
  return (
    <svg width={width} height={height}>
      {shown.map(({ row, name }, index) => (
        <g key={name} transform={`translate(0,${(shown.length - 1 - index) * h})`}>
          <text {...text} x={left - 6} y={h / 2 + 4} textAnchor="end">{name === "+Inf" ? name : `${Number(name)} s`}</text>
          {row.map((n, step) => n > 1e-9 && (
            <rect key={step} x={left + step * w} y={1} width={w - 1} height={h - 1} fill={interpolateOranges(0.15 + 0.85 * (n / most))} />
          ))}
        </g>
      ))}
      {answer.times.map((seconds, step) => seconds % 60 === 0 && (
        <text key={seconds} {...text} x={left + step * w} y={height - 6} textAnchor="middle">{label(seconds)}</text>
      ))}
    </svg>
  );
}

const KINDS = { timeseries: Lines, stat: Figures, piechart: Ring, bargauge: Bars, table: Rows, heatmap: Heat };

// What Grafana says in place of a panel's kind where no query has an answer.
function Nothing({ panel, width, height }) {
  const style = { width, height, display: "flex", alignItems: "center", justifyContent: "center", textAlign: "center" };
  return <div style={{ ...style, color: theme.colors.text.secondary }}>{panel.fieldConfig.defaults.noValue}</div>;
}

function Panel({ drawn, top }) {
  const { panel, answers } = drawn;
  const Kind = answers.some(({ series }) => series.length) ? KINDS[panel.type] : Nothing;
  return (
    <div style={{ position: "absolute", ...place(panel.gridPos, top) }}>
      <ui.PanelChrome title={panel.title} description={panel.description} {...size(panel.gridPos)}>
        {(width, height) => <Kind {...{ drawn, panel, width, height }} />}
      </ui.PanelChrome>
    </div>
  );
}

// Rows that stand apart in the dashboard are drawn one below the other, without their heads.
function Picture({ file, start, end, panels }) {
  const levels = [...new Set(panels.map(({ panel }) => panel.gridPos.y))].sort((one, other) => one - other);
  const tops = new Map();
  let height = 0;
  for (const y of levels) {
    tops.set(y, y - height); // so much higher than in the dashboard
    height += Math.max(...panels.filter(({ panel }) => panel.gridPos.y === y).map(({ panel }) => panel.gridPos.h));
  }
  return (
    <div id={file} style={{ position: "relative", width: WIDTH, height: height * (ROW + GAP), background: theme.colors.background.canvas }}>
      {panels.map((one) => <Panel key={one.panel.id} drawn={{ ...one, start, end }} top={tops.get(one.panel.gridPos.y)} />)}
    </div>
  );
}

// Grafana's components measure themselves, and draw again: a second without a change is the end of it.
const settled = () => new Promise((done) => {
  let timer = setTimeout(done, 1000);
  new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(done, 1000);
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
});

window.draw = async (drawn) => {
  const context = { eventBus: new data.EventBusSrv(), eventsScope: "", onToggleSeriesVisibility: noAction };
  const root = createRoot(document.body.appendChild(document.createElement("div")));
  const show = (pictures) => root.render(
    <data.ThemeContext.Provider value={theme}>
      <ui.PanelContextProvider value={context}>
        <ui.GlobalStyles />
        {pictures.map((one) => <Picture key={one.file} {...one} />)}
      </ui.PanelContextProvider>
    </data.ThemeContext.Provider>,
  );
  show([]); // the styles name the font, which has to be there before text is measured
  await settled();
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 14px Inter`)));
  show(drawn);
  await settled();
};
