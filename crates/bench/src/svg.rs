//! Draws the latency distributions: one panel for each load, latency over the
//! percentile. Written by hand, readable on light and on dark pages.

use std::fmt::Write;

pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
}

pub(crate) struct Series {
    /// Decides colour and dashes.
    pub(crate) name: String,
    pub(crate) title: String,
    /// Share of the requests (0 to 1), and the latency in ms that it does not
    /// exceed. Ascending.
    pub(crate) points: Vec<(f64, f64)>,
}

const PANEL: f64 = 300.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 40.0;
const GAP: f64 = 26.0;
const LEGEND_LINE: f64 = 22.0;
const LEGEND_COLUMN: f64 = 300.0;

const PERCENTILES: [(f64, &str); 5] = [
    (0.0, ""),
    (0.5, "50"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9 %"),
];
const LATENCIES: [f64; 10] = [
    5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0,
];

/// The page's colours are not known: greys and middle tones that stand out
/// from white and from black, and lines that differ in their dashes as well.
const STYLE: &str = "
text { font: 13px system-ui, sans-serif; fill: #6e7781 }
.title { font-weight: 600; font-size: 14px }
.grid { stroke: #8c959f; stroke-opacity: .3 }
polyline { fill: none; stroke-linejoin: round }
@media (prefers-color-scheme: dark) { text { fill: #b1bac4 } }
";

pub(crate) fn draw(panels: &[Panel]) -> String {
    let highest = panels
        .iter()
        .flat_map(|panel| &panel.series)
        .flat_map(|series| &series.points)
        .map(|&(_, latency)| latency)
        .fold(10.0, f64::max);
    let legend = panels.first().map_or(&[][..], |panel| &panel.series);
    let width = LEFT + panels.len() as f64 * (PANEL + GAP);
    let columns = ((width - LEFT) / LEGEND_COLUMN).floor().max(1.0) as usize;
    let lines = legend.len().div_ceil(columns);
    let height = TOP + HEIGHT + 50.0 + lines as f64 * LEGEND_LINE + 10.0;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
         aria-label=\"Latency by percentile for each contender\">\n<style>{STYLE}</style>\n"
    );
    for (n, panel) in panels.iter().enumerate() {
        let left = LEFT + n as f64 * (PANEL + GAP);
        grid(&mut svg, panel, left, highest, n == 0);
        // The last drawn lies on top: the first of the list.
        for series in panel.series.iter().rev() {
            line(&mut svg, series, left, highest);
        }
    }
    for (n, series) in legend.iter().enumerate() {
        let x = LEFT + (n % columns) as f64 * LEGEND_COLUMN;
        let y = TOP + HEIGHT + 58.0 + (n / columns) as f64 * LEGEND_LINE;
        let _ = writeln!(
            svg,
            "<polyline points=\"{x:.0},{:.0} {:.0},{:.0}\" {}/><text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
            y - 4.0,
            x + 34.0,
            y - 4.0,
            stroke(&series.name),
            x + 42.0,
            escape(&series.title),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn grid(svg: &mut String, panel: &Panel, left: f64, highest: f64, labels: bool) {
    let (right, bottom) = (left + PANEL, TOP + HEIGHT);
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{left:.0}\" y=\"{:.0}\">{}</text>",
        TOP - 16.0,
        escape(&panel.title)
    );
    for (share, label) in PERCENTILES {
        let x = left + across(share);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{label}</text>",
            bottom + 18.0,
        );
    }
    for latency in LATENCIES
        .into_iter()
        .filter(|&latency| latency <= highest * 1.2)
    {
        let y = TOP + up(latency, highest);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>");
        if labels {
            let unit = if latency >= 1000.0 {
                format!("{} s", latency / 1000.0)
            } else {
                format!("{latency} ms")
            };
            let _ = writeln!(
                svg,
                "<text text-anchor=\"end\" x=\"{:.0}\" y=\"{:.1}\">{unit}</text>",
                left - 6.0,
                y + 4.0
            );
        }
    }
}

fn line(svg: &mut String, series: &Series, left: f64, highest: f64) {
    let points: Vec<String> = series
        .points
        .iter()
        .map(|&(share, latency)| {
            format!(
                "{:.1},{:.1}",
                left + across(share),
                TOP + up(latency, highest)
            )
        })
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" {}/>",
        points.join(" "),
        stroke(&series.name)
    );
}

/// Every nine more get as much room as the nine before: 90, 99, 99.9.
fn across(share: f64) -> f64 {
    (-(1.0 - share.min(0.999)).log10() / 3.0).clamp(0.0, 1.0) * PANEL
}

fn up(latency: f64, highest: f64) -> f64 {
    let lowest: f64 = 4.5;
    let share = (latency.max(lowest) / lowest).ln() / (highest * 1.2 / lowest).ln();
    (1.0 - share) * HEIGHT
}

fn stroke(name: &str) -> String {
    let (colour, width, dashes) = match name {
        "ideal" => ("#8c959f", 5.0, ""),
        "raw" => ("#d1495b", 2.0, ""),
        "node-cluster" => ("#4c9f50", 2.0, "9 3"),
        "nginx" => ("#dd8a1f", 2.0, "5 3"),
        "maitred" | "maitred:next_available" => ("#2f81f7", 2.5, ""),
        "maitred:round_robin" => ("#a371f7", 2.0, "2 3"),
        "maitred:least_conn" => ("#1b9e9e", 2.0, "8 3 2 3"),
        _ => ("#b08968", 2.0, "8 3 2 3 2 3"),
    };
    format!("stroke=\"{colour}\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\"")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_run_from_edge_to_edge() {
        assert_eq!(across(0.0), 0.0);
        assert!((across(0.9) - PANEL / 3.0).abs() < 1e-6);
        assert!((across(0.999) - PANEL).abs() < 1e-6);
        assert!((across(1.0) - PANEL).abs() < 1e-6);
        assert!((up(4.5, 1000.0) - HEIGHT).abs() < 1e-9);
        assert!(up(1200.0, 1000.0).abs() < 1e-9);
    }

    #[test]
    fn draws_each_series_and_its_legend() {
        let series = |name: &str| Series {
            name: name.to_owned(),
            title: format!("{name} <&>"),
            points: vec![(0.0, 5.0), (0.5, 6.0), (0.999, 100.0)],
        };
        let panel = Panel {
            title: "70 %".to_owned(),
            series: vec![series("raw"), series("ideal")],
        };
        let svg = draw(&[panel]);
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("raw &lt;&amp;&gt;"));
        assert!(svg.ends_with("</svg>\n"));
    }
}
