// Draws panels of the dashboard in a browser with Grafana's own components. What Grafana's frontend has besides the
// package @grafana/ui stands here: data frames of Prometheus's answers, and how each kind of panel uses its components.

import { arc, pie } from "d3";
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
const COLUMN = 1600 / 24;
const ROW = 30;
const size = ({ w, h }) => ({ width: Math.round(w * COLUMN - GAP), height: h * (ROW + GAP) - GAP });

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

function frames({ panel, answers }) {
  const made = answers.flatMap((answer) => answer.series.map((series) => frame(answer, series)));
  const { fieldConfig } = panel;
  const fieldConfigRegistry = registry(fieldConfig);
  return data.applyFieldOverrides({ data: made, fieldConfig, fieldConfigRegistry, replaceVariables, theme, timeZone });
}

function Lines({ drawn, width, height }) {
  const [from, to] = [data.dateTime(drawn.start * 1000), data.dateTime(drawn.end * 1000)];
  const timeRange = { from, to, raw: { from, to } };
  const { legend } = drawn.panel.options;
  return <ui.TimeSeries {...{ frames: frames(drawn), timeRange, timeZone, width, height, legend }} />;
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

const KINDS = { timeseries: Lines, stat: Figures, piechart: Ring };

function Panel({ drawn }) {
  const { panel, file } = drawn;
  const Kind = KINDS[panel.type];
  return (
    <div id={file} style={{ display: "inline-block", margin: GAP / 2 }}>
      <ui.PanelChrome title={panel.title} description={panel.description} {...size(panel.gridPos)}>
        {(width, height) => <Kind {...{ drawn, width, height }} />}
      </ui.PanelChrome>
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
  const show = (panels) => root.render(
    <data.ThemeContext.Provider value={theme}>
      <ui.PanelContextProvider value={context}>
        <ui.GlobalStyles />
        {panels.map((one) => <Panel key={one.file} drawn={one} />)}
      </ui.PanelContextProvider>
    </data.ThemeContext.Provider>,
  );
  show([]); // the styles name the font, which has to be there before text is measured
  await settled();
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 14px Inter`)));
  show(drawn);
  await settled();
};
