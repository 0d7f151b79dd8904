//! Plots as SVG: bars with intervals, and lines. Plain enough to read in a diff; colours follow the reader's scheme.

use std::fmt::Write as _;

use crate::stats::Estimate;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// Space for labels around the plot: left, right, top, bottom.
const MARGINS: [f64; 4] = [70.0, 20.0, 40.0, 60.0];

const STYLE: &str = "text{font:13px sans-serif;fill:#222}.title{font-size:15px;font-weight:bold}\
    .axis{stroke:#888;stroke-width:1}.grid{stroke:#8884;stroke-width:1}.whisker{stroke:#222;stroke-width:2}\
    .limit{stroke:#c22;stroke-width:1.5;stroke-dasharray:6 4}\
    .s0{--c:#2a6fbb}.s1{--c:#d9822b}.s2{--c:#3a9a5b}.s3{--c:#9a4fb0}.s4{--c:#888}.s5{--c:#b5403a}\
    rect.s{fill:var(--c)}polyline.s{stroke:var(--c);fill:none;stroke-width:2}circle.s{fill:var(--c)}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.whisker{stroke:#ddd}.limit{stroke:#f66}}";

/// A bar with its interval.
#[derive(Debug, Clone)]
pub struct Bar {
    /// What it stands for.
    pub label: String,
    /// Its height.
    pub value: Estimate,
}

/// A named line of points, from left to right.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it stands for.
    pub label: String,
    /// Points, x and y.
    pub points: Vec<(f64, f64)>,
}

/// How an axis places its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By powers of ten. Values must be above zero.
    Logarithmic,
}

/// An axis: what stands beside it, and how it places values.
#[derive(Debug, Clone, Copy)]
pub struct Axis<'a> {
    /// What it says, with the unit.
    pub label: &'a str,
    /// How it places values.
    pub scale: Scale,
}

/// Bars beside each other from zero, with dashed lines where limits are.
#[must_use]
pub fn bars(title: &str, y_label: &str, bars: &[Bar], limits: &[(&str, f64)]) -> String {
    let tops = bars.iter().map(|bar| bar.value.high).chain(limits.iter().map(|(_, value)| *value));
    let y = Span::new(Scale::Linear, tops, [HEIGHT - MARGINS[3], MARGINS[2]]);
    let mut svg = frame(title, Axis { label: y_label, scale: Scale::Linear }, "", &y);
    let step = (WIDTH - MARGINS[0] - MARGINS[1]) / count(bars.len().max(1));
    for (index, bar) in bars.iter().enumerate() {
        let middle = MARGINS[0] + step * (count(index) + 0.5);
        let [top, low, high] = [bar.value.median, bar.value.low, bar.value.high].map(|value| y.at(value));
        let (left, width, height) = (middle - step * 0.3, step * 0.6, y.from - top);
        let class = index % 6;
        let _ = writeln!(
            svg,
            r#"<rect class="s s{class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
        let _ = writeln!(
            svg,
            r#"<line class="whisker" x1="{middle:.1}" x2="{middle:.1}" y1="{low:.1}" y2="{high:.1}"/>"#
        );
        text(&mut svg, [middle, HEIGHT - MARGINS[3] + 18.0], "middle", &bar.label);
        text(&mut svg, [middle, HEIGHT - MARGINS[3] + 36.0], "middle", &number(bar.value.median));
    }
    for (label, value) in limits {
        let [left, right, at] = [MARGINS[0], WIDTH - MARGINS[1], y.at(*value)];
        let _ = writeln!(
            svg,
            r#"<line class="limit" x1="{left:.1}" x2="{right:.1}" y1="{at:.1}" y2="{at:.1}"/>"#
        );
        text(&mut svg, [left + 4.0, at - 4.0], "start", label);
    }
    svg + "</svg>\n"
}

/// Lines over a common x axis, each named in the legend.
#[must_use]
pub fn lines(title: &str, x: Axis<'_>, y: Axis<'_>, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let across = Span::new(x.scale, points().map(|point| point.0), [MARGINS[0], WIDTH - MARGINS[1]]);
    let up = Span::new(y.scale, points().map(|point| point.1), [HEIGHT - MARGINS[3], MARGINS[2]]);
    let mut svg = frame(title, y, x.label, &up);
    for tick in across.ticks() {
        text(&mut svg, [across.at(tick), HEIGHT - MARGINS[3] + 18.0], "middle", &number(tick));
    }
    for (index, line) in lines.iter().enumerate() {
        let class = index % 6;
        let placed: Vec<_> = line.points.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        let path: Vec<_> = placed.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(svg, r#"<polyline class="s s{class}" points="{}"/>"#, path.join(" "));
        for (x, y) in placed {
            let _ = writeln!(svg, r#"<circle class="s s{class}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#);
        }
        let at = MARGINS[2] + 14.0 + 18.0 * count(index);
        let _ = writeln!(
            svg,
            r#"<circle class="s s{class}" cx="{:.1}" cy="{:.1}" r="5"/>"#,
            MARGINS[0] + 14.0,
            at - 4.0
        );
        text(&mut svg, [MARGINS[0] + 26.0, at], "start", &line.label);
    }
    svg + "</svg>\n"
}

/// Values on one axis, and where on the page they are.
struct Span {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Span {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, [from, to]: [f64; 2]) -> Span {
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match scale {
            Scale::Linear => (0.0, round_up(high)),
            Scale::Logarithmic => (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil())),
        };
        let high = if high > low { high } else { low * 10.0 + 1.0 };
        Span { scale, low, high, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.log10(),
        };
        let share = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        self.from + (self.to - self.from) * share
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => (0..=5).map(|part| self.high * f64::from(part) / 5.0).collect(),
            Scale::Logarithmic => std::iter::successors(Some(self.low), |tick| {
                Some(tick * 10.0).filter(|t| *t <= self.high * 1.01)
            })
            .collect(),
        }
    }
}

/// The next number of the form 1, 2, 2.5 or 5 times a power of ten: an axis ends at a round number.
fn round_up(value: f64) -> f64 {
    if value.is_nan() || value <= 0.0 || value.is_infinite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|top| *top >= value)
        .unwrap_or(value)
}

fn frame(title: &str, y: Axis<'_>, x_label: &str, span: &Span) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    let _ = writeln!(svg, r#"<text class="title" x="{:.1}" y="22">{}</text>"#, MARGINS[0], escaped(title));
    let (left, right) = (MARGINS[0], WIDTH - MARGINS[1]);
    for tick in span.ticks() {
        let at = span.at(tick);
        let _ =
            writeln!(svg, r#"<line class="grid" x1="{left:.1}" x2="{right:.1}" y1="{at:.1}" y2="{at:.1}"/>"#);
        text(&mut svg, [left - 6.0, at + 4.0], "end", &number(tick));
    }
    let (top, bottom) = (MARGINS[2], HEIGHT - MARGINS[3]);
    let _ = writeln!(
        svg,
        r#"<line class="axis" x1="{left:.1}" x2="{right:.1}" y1="{bottom:.1}" y2="{bottom:.1}"/>"#
    );
    let (middle, label) = (f64::midpoint(top, bottom), escaped(y.label));
    let _ = writeln!(
        svg,
        r#"<text transform="rotate(-90 16 {middle:.1})" x="16" y="{middle:.1}" text-anchor="middle">{label}</text>"#
    );
    text(&mut svg, [f64::midpoint(left, right), HEIGHT - 14.0], "middle", x_label);
    svg
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, content: &str) {
    let _ =
        writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#, escaped(content));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Three significant digits, and no more.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_zero_and_are_as_high_as_their_medians() {
        let bar = |label: &str, median| Bar {
            label: label.into(),
            value: Estimate { median, low: median, high: median },
        };
        let svg = bars("a < b", "µs", &[bar("one", 50.0), bar("two", 100.0)], &[("gate", 80.0)]);
        for part in ["a &lt; b", "height=\"130.0\"", "height=\"260.0\"", "class=\"limit\"", ">gate<", ">two<"]
        {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }

    #[test]
    fn a_logarithmic_axis_places_powers_of_ten_evenly() {
        let points = vec![(10.0, 1.0), (100.0, 2.0), (1000.0, 2.0)];
        let x = Axis { label: "hosts", scale: Scale::Logarithmic };
        let y = Axis { label: "s", scale: Scale::Linear };
        let svg = lines("t", x, y, &[Line { label: "16 buckets".into(), points }]);
        assert!(svg.contains(r#"points="70.0,170.0 385.0,40.0 700.0,40.0""#), "{svg}");
        assert!(svg.contains("16 buckets"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, expected) in
            [(0.0, 1.0), (0.9, 1.0), (1.1, 1.5), (26.0, 30.0), (100.0, 100.0), (101.0, 150.0)]
        {
            assert!((round_up(value) - expected).abs() < 1e-9, "{value}");
        }
    }
}
