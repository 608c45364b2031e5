//! Dashboards as values, and as the classic JSON model of Grafana 10 and 11: file provisioning refuses the newer one.

use serde_json::{Value, json};

/// One page of Grafana.
pub struct Dashboard {
    /// Name of its file, and behind `grimoire-` its uid in Grafana.
    pub name: &'static str,
    pub title: &'static str,
    /// What it shows, in a sentence.
    pub about: &'static str,
    pub rows: Vec<Row>,
}

/// Panels below one heading.
pub struct Row {
    pub title: &'static str,
    pub panels: Vec<Panel>,
}

/// A graph, or a number.
pub struct Panel {
    pub title: &'static str,
    /// What bad looks like.
    pub bad: &'static str,
    /// Name of a file in observability/runbooks, without `.md`.
    pub runbook: &'static str,
    pub targets: Vec<Target>,
    kind: Kind,
    /// As Grafana names it: `s`, `reqps`, `percentunit`, `bytes`, `short`.
    unit: &'static str,
    limit: Option<Limit>,
}

/// One query of a panel.
pub struct Target {
    /// Name of each line; `{{label}}` is the label's value.
    pub legend: &'static str,
    pub expr: String,
}

enum Kind {
    Lines,
    Number,
}

/// Where bad begins.
enum Limit {
    Above(f64),
    Below(f64),
}

/// Where the folder observability/runbooks is served: Grafana finds it among its own static files.
const RUNBOOKS: &str = "/public/runbooks";

/// Panels in a line, and how high they are in Grafana's grid, which has 24 columns.
const IN_A_LINE: usize = 4;
const HEIGHT: usize = 7;

/// A row of panels.
pub(crate) fn row(title: &'static str, panels: impl Into<Vec<Panel>>) -> Row {
    Row {
        title,
        panels: panels.into(),
    }
}

/// A panel of lines over time.
pub(crate) fn lines(
    title: &'static str,
    unit: &'static str,
    bad: &'static str,
    runbook: &'static str,
    targets: impl Into<Vec<Target>>,
) -> Panel {
    Panel {
        title,
        bad,
        runbook,
        targets: targets.into(),
        kind: Kind::Lines,
        unit,
        limit: None,
    }
}

/// A panel of the newest values, as numbers.
pub(crate) fn number(
    title: &'static str,
    unit: &'static str,
    bad: &'static str,
    runbook: &'static str,
    targets: impl Into<Vec<Target>>,
) -> Panel {
    Panel {
        kind: Kind::Number,
        ..lines(title, unit, bad, runbook, targets)
    }
}

/// A query, and what its lines are called.
pub(crate) fn line(legend: &'static str, expr: String) -> Target {
    Target { legend, expr }
}

impl Panel {
    /// Draws what is above as bad.
    pub(crate) fn bad_above(self, limit: f64) -> Self {
        Self {
            limit: Some(Limit::Above(limit)),
            ..self
        }
    }

    /// Draws what is below as bad.
    pub(crate) fn bad_below(self, limit: f64) -> Self {
        Self {
            limit: Some(Limit::Below(limit)),
            ..self
        }
    }

    /// What Grafana shows behind the `i` of the panel.
    pub fn description(&self) -> String {
        format!(
            "Bad: {}\n\n[Runbook: {}]({RUNBOOKS}/{}.md)",
            self.bad, self.runbook, self.runbook
        )
    }

    fn json(&self, id: usize, place: Value) -> Value {
        let targets: Vec<Value> = self
            .targets
            .iter()
            .zip('A'..='Z')
            .map(|(target, letter)| target.json(letter))
            .collect();
        let (kind, options) = match self.kind {
            Kind::Lines => (
                "timeseries",
                json!({
                    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                }),
            ),
            Kind::Number => (
                "stat",
                json!({
                    "colorMode": "value",
                    "graphMode": "area",
                    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                }),
            ),
        };
        json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.description(),
            "datasource": datasource(),
            "gridPos": place,
            "fieldConfig": {"defaults": self.field(), "overrides": []},
            "options": options,
            "targets": targets,
        })
    }

    fn field(&self) -> Value {
        let steps = match self.limit {
            None => json!([{"color": "green", "value": null}]),
            Some(Limit::Above(limit)) => json!([
                {"color": "green", "value": null},
                {"color": "red", "value": limit},
            ]),
            Some(Limit::Below(limit)) => json!([
                {"color": "red", "value": null},
                {"color": "green", "value": limit},
            ]),
        };
        let style = if self.limit.is_some() { "line" } else { "off" };
        let color = match self.kind {
            Kind::Lines => "palette-classic",
            Kind::Number => "thresholds",
        };
        json!({
            "unit": self.unit,
            "color": {"mode": color},
            "custom": {"fillOpacity": 10, "showPoints": "never", "thresholdsStyle": {"mode": style}},
            "thresholds": {"mode": "absolute", "steps": steps},
        })
    }
}

impl Target {
    fn json(&self, letter: char) -> Value {
        json!({
            "refId": letter.to_string(),
            "datasource": datasource(),
            "expr": self.expr,
            "legendFormat": self.legend,
        })
    }
}

impl Dashboard {
    /// Every panel, without the rows.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "uid": format!("grimoire-{}", self.name),
            "title": format!("Grimoire: {}", self.title),
            "description": self.about,
            "tags": ["grimoire"],
            "schemaVersion": 39,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "links": [{
                "type": "dashboards",
                "title": "Grimoire",
                "tags": ["grimoire"],
                "asDropdown": true,
                "keepTime": true,
            }],
            "templating": {"list": []},
            "panels": self.grid(),
        })
    }

    /// Rows and panels, each with its place.
    fn grid(&self) -> Vec<Value> {
        let mut grid = Vec::new();
        let mut y = 0;
        for row in &self.rows {
            let id = grid.len() + 1;
            grid.push(json!({
                "id": id,
                "type": "row",
                "title": row.title,
                "collapsed": false,
                "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
                "panels": [],
            }));
            y += 1;
            let width = 24 / row.panels.len().clamp(1, IN_A_LINE);
            for some in row.panels.chunks(IN_A_LINE) {
                for (column, panel) in some.iter().enumerate() {
                    let place = json!({"h": HEIGHT, "w": width, "x": column * width, "y": y});
                    grid.push(panel.json(grid.len() + 1, place));
                }
                y += HEIGHT;
            }
        }
        grid
    }
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "prometheus"})
}
