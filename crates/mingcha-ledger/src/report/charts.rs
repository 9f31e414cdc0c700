//! The charts: what ECharts is to draw, as the JSON that it takes. No function, no address, no animation: a page must look
//! the same on paper. Tooltips are off, since they would set names as HTML.

use serde_json::{Value, json};

use super::page::Chart;

const COLOURS: [&str; 5] = ["#1f3a5f", "#b45f06", "#2e7d5b", "#7a3e6d", "#6e7781"];

fn plain(height: usize, mut option: Value) -> Chart {
    option["animation"] = json!(false);
    option["tooltip"] = json!({"show": false});
    option["color"] = json!(COLOURS);
    Chart { option, height }
}

fn grid(left: u32, top: u32) -> Value {
    json!({"left": left, "right": 48, "top": top, "bottom": 28, "containLabel": false})
}

/// Space for labels: a Chinese character takes twelve points, another six.
fn room(labels: &[String]) -> u32 {
    let widest = labels.iter().map(|label| crate::words::width(label)).max().unwrap_or(0);
    u32::try_from(widest * 7 + 16).unwrap_or(u32::MAX).clamp(40, 220)
}

/// Bars across, one under the other, each with its figure; one series, or several stacked.
pub(super) fn bars(labels: &[String], series: &[(String, Vec<f64>)]) -> Chart {
    let stacked = series.len() > 1;
    let drawn: Vec<Value> = series
        .iter()
        .map(|(name, values)| {
            // A nought inside a stack needs no figure.
            let data: Vec<Value> =
                values.iter().map(|v| json!({"value": v, "label": {"show": !stacked || *v > 0.0}})).collect();
            json!({
                "type": "bar", "name": name, "data": data, "barMaxWidth": 22,
                "stack": if stacked { json!("all") } else { Value::Null },
                "label": {"show": true, "position": if stacked { "inside" } else { "right" }, "fontSize": 11},
            })
        })
        .collect();
    let legend = if stacked { 26 } else { 6 };
    plain(
        legend as usize + 30 + labels.len() * 28,
        json!({
            "legend": {"show": stacked, "top": 0, "itemHeight": 10},
            "grid": grid(room(labels), legend),
            "xAxis": {"type": "value", "minInterval": 1, "splitLine": {"lineStyle": {"color": "#eaeef2"}}},
            "yAxis": {"type": "category", "inverse": true, "data": labels, "axisTick": {"show": false}},
            "series": drawn,
        }),
    )
}

/// Lines over months.
pub(super) fn lines(months: &[String], series: &[(String, Vec<f64>)]) -> Chart {
    let drawn: Vec<Value> = series
        .iter()
        .map(|(name, values)| json!({"type": "line", "name": name, "data": values, "symbolSize": 6}))
        .collect();
    plain(
        230,
        json!({
            "legend": {"top": 0, "itemHeight": 10},
            "grid": grid(56, 34),
            "xAxis": {"type": "category", "data": months, "axisLabel": {"interval": 0, "fontSize": 10}},
            "yAxis": {"type": "value", "minInterval": 1, "splitLine": {"lineStyle": {"color": "#eaeef2"}}},
            "series": drawn,
        }),
    )
}

/// Shares in per cent with their intervals: a bar from the lower to the upper bound, and a dot.
pub(super) fn intervals(labels: &[String], shares: &[(f64, f64, f64)]) -> Chart {
    let hundredth = |share: f64| (share * 1000.0).round() / 10.0;
    let low: Vec<f64> = shares.iter().map(|(low, _, _)| hundredth(*low)).collect();
    let span: Vec<f64> = shares.iter().map(|(low, _, high)| hundredth(high - low)).collect();
    let dots: Vec<Value> =
        shares.iter().zip(labels).map(|((_, point, _), label)| json!([hundredth(*point), label])).collect();
    plain(
        52 + labels.len() * 28,
        json!({
            "grid": grid(room(labels), 18),
            "xAxis": {"type": "value", "min": 0, "max": 100, "axisLabel": {"formatter": "{value}%"},
                "splitLine": {"lineStyle": {"color": "#eaeef2"}}},
            "yAxis": {"type": "category", "inverse": true, "data": labels, "axisTick": {"show": false}},
            "series": [
                {"type": "bar", "stack": "all", "data": low, "itemStyle": {"color": "transparent"}, "barWidth": 10},
                {"type": "bar", "stack": "all", "data": span, "itemStyle": {"color": "#a9bcd3"}, "barWidth": 10},
                {"type": "scatter", "data": dots, "symbolSize": 11, "itemStyle": {"color": "#1f3a5f"},
                    "label": {"show": true, "position": "top", "distance": 2, "fontSize": 10, "formatter": "{@[0]}%"}},
            ],
        }),
    )
}

/// A count, for an axis.
pub(super) fn number(n: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of leads fit into the 53 bits of a double")]
    let number = n as f64;
    number
}
