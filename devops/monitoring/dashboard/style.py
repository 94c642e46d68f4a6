"""How panels look: each kind once, with its unit, its description, and what it says when there is nothing."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    piechart,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BarGaugeNamePlacement,
    BarGaugeSizing,
    BarGaugeValueMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    FieldTextAlignment,
    GraphThresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartLegendValues, PieChartType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from devops.monitoring.dashboard.promql import MOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devops.monitoring.dashboard.promql import Vector

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Whatever the variable says: no panel knows a data source of its own."""

RATE = "suffix:/s"
SECONDS = "s"
RATIO = "percentunit"
COUNT = "short"
TOTAL = "locale"
"""A count to the last digit: 4,612, where ``short`` would say 5 K."""
BYTES = "bytes"

HIGHEST = f"The {MOST} that were highest over the time shown."
"""What the description of a panel says whose lines are so chosen."""

LEAST = {RATE: 0.1, COUNT: 1, TOTAL: 1}
"""Where an axis ends at least: without it nothing but zeros is drawn against a hundred."""

STATUSES = {
    "success": "green",
    "failure": "red",
    "retry": "orange",
    "rejected": "purple",
    "ignored": "#8e8e8e",
    "revoked": "blue",
    "unreported": "yellow",
}
"""How a task can end, each in its colour."""

HEIGHT = 8
LEAST_WIDTH = 50
"""Pixels of a table's column: at Grafana's own 150 half of a table stands behind its edge."""
RED, ORANGE, GREEN = "red", "orange", "green"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel, and how its series are named."""

    expression: Vector | str
    legend: str

    def target(self, letter: str) -> prometheus.Dataquery:
        """Make the query that draws a line."""
        made = prometheus.Dataquery().expr(str(self.expression)).legend_format(self.legend).ref_id(letter)
        return made.datasource(SOURCE).range()


def lines(title: str, about: str, *queries: Query, unit: str, nothing: str = "No data") -> Any:
    """Draw how values moved; ``nothing`` is what stands there when no series exists."""
    panel = _common(timeseries.Panel(), title, about, unit, nothing).fill_opacity(0).line_width(1)
    panel.line_interpolation(LineInterpolation.LINEAR).show_points(VisibilityMode.NEVER).min(0)
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    panel.tooltip(
        common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING).hide_zeros(hide_zeros=True)
    )
    panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    if unit in LEAST:
        panel.axis_soft_max(LEAST[unit])
    if unit in {COUNT, TOTAL}:
        panel.decimals(0)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(query.target(letter))
    return panel


def ranked(panel: Any) -> Any:
    """List the lines beside the plot, the highest first: of many and long names those that matter are seen."""
    return panel.legend(_beside("lastNotNull", "max").sort_by("Max"))


def narrow(panel: Any) -> Any:
    """List the lines beside a small plot, those first that are highest now: what it is takes up to three fifths."""
    return panel.legend(_beside("lastNotNull").sort_by("Last *"))


def _beside(*calculated: str) -> common.VizLegendOptions:
    listed = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.RIGHT)
    return listed.show_legend(show_legend=True).calcs([*calculated]).sort_desc(sort_desc=True)


def stacked(panel: Any) -> Any:
    """Pile areas on one another, where their sum means something; an outline would show those of nothing as well."""
    piled = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return piled.fill_opacity(70).line_width(0)


def bounding(panel: Any, pattern: str) -> Any:
    """Draw the lines whose names match as bounds for the others: dashed."""
    dashed = {"fill": "dash", "dash": [8, 6]}
    return panel.override_by_regexp(pattern, [DynamicConfigValue("custom.lineStyle", dashed)])


def painted(panel: Any, colours: Mapping[str, str]) -> Any:
    """Give each of these names its own colour."""
    for name, colour in colours.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [DynamicConfigValue("color", fixed)])
    return panel


def limited(panel: Any, *steps: tuple[float, str]) -> Any:
    """Mark the values from which on something is amiss."""
    return panel.thresholds(_thresholds(GREEN, steps)).thresholds_style(
        common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
    )


def figures(title: str, about: str, *queries: Query, unit: str, nothing: str = "No data") -> Any:
    """Show what is now: one figure a series, in colour."""
    panel = _common(stat.Panel(), title, about, unit, nothing).color_mode(BigValueColorMode.BACKGROUND)
    panel.graph_mode(BigValueGraphMode.NONE).text_mode(BigValueTextMode.VALUE_AND_NAME)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(query.target(letter).instant())
    return panel


def figure(title: str, about: str, value: Vector, unit: str, nothing: str) -> Any:
    """Show one figure, large and without a name: the title is its name."""
    panel = figures(title, about, Query(value, title), unit=unit, nothing=nothing)
    panel.text_mode(BigValueTextMode.VALUE).color_mode(BigValueColorMode.VALUE)
    if unit == TOTAL:
        panel.decimals(0)
    return panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))


def coloured(panel: Any, base: str, *steps: tuple[float, str]) -> Any:
    """Give figures the colour of the step that they have reached."""
    return panel.thresholds(_thresholds(base, steps)).color_scheme(
        dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS)
    )


def bars(title: str, about: str, query: Query, *, unit: str, nothing: str = "No data") -> Any:
    """Show figures of now below one another, each as a bar as long as it is high, in the order of the answer."""
    panel = _common(bargauge.Panel(), title, about, unit, nothing).orientation(VizOrientation.HORIZONTAL).min(0)
    panel.display_mode(BarGaugeDisplayMode.BASIC).value_mode(BarGaugeValueMode.TEXT).show_unfilled(show_unfilled=False)
    panel.name_placement(BarGaugeNamePlacement.LEFT).sizing(BarGaugeSizing.MANUAL).min_viz_height(16).max_viz_height(24)
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("blue"))
    panel.text(common.VizTextDisplayOptions().title_size(12).value_size(14))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.with_target(query.target("A").instant())


def worded(panel: Any, words: Mapping[float, tuple[str, str]]) -> Any:
    """Show words, each in its colour, in place of figures that are states."""
    options = {
        f"{value:g}": ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return panel.mappings([ValueMap(options)])


def state(title: str, about: str, query: Query, words: Mapping[float, tuple[str, str]], *, nothing: str) -> Any:
    """Show whether something is as it should be, 1, or not, 0, in words and in their colours."""
    panel = figures(title, about, query, unit="none", nothing=nothing)
    return worded(coloured(panel, words[0][1], (1, words[1][1])), words)


def pie(title: str, about: str, query: Query, *, unit: str, nothing: str = "No data") -> Any:
    """Show shares of a whole over the whole time that is shown."""
    panel = _common(piechart.Panel(), title, about, unit, nothing).decimals(0).pie_type(PieChartType.DONUT)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    panel.legend(
        piechart.PieChartLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.RIGHT)
        .show_legend(show_legend=True)
        .values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
    )
    return panel.with_target(query.target("A").instant())


def heat(title: str, about: str, query: Query, *, nothing: str = "No data") -> Any:
    """Show how many observations fell into each bucket of a histogram."""
    panel = _common(heatmap.Panel(), title, about, COUNT, nothing).calculate(calculate=False)
    panel.y_axis(heatmap.YAxisConfig().unit(SECONDS)).cell_gap(1).show_legend().mode(TooltipDisplayMode.SINGLE)
    panel.rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    return panel.with_target(query.target("A").format(PromQueryFormat.HEATMAP))


def rows(title: str, about: str, *queries: Query, unit: str, nothing: str = "No data") -> Any:
    """Make a table: one row for each set of labels, one column for each query, whose legend heads it."""
    panel = _common(table.Panel(), title, about, unit, nothing).show_header(show_header=True)
    panel.align(FieldTextAlignment.AUTO).inspect(inspect=False).min_width(LEAST_WIDTH)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(query.target(letter).instant().format(PromQueryFormat.TABLE))
    return panel


def _common(panel: Any, title: str, about: str, unit: str, nothing: str) -> Any:
    return panel.title(title).description(about).unit(unit).no_value(nothing).datasource(SOURCE).height(HEIGHT)


def _thresholds(base: str, steps: tuple[tuple[float, str], ...]) -> dashboard.ThresholdsConfig:
    made = [Threshold(None, base), *(Threshold(value, colour) for value, colour in steps)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)
