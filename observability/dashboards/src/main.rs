//! Writes the dashboards for Grafana and the rules for Prometheus.

use std::fs;

fn main() -> std::io::Result<()> {
    for (path, text) in dashboards::files() {
        fs::write(dashboards::room().join(&path), text)?;
        println!("observability/{path}");
    }
    Ok(())
}
