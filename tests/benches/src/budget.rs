//! What each figure ought to be, how far it may be from that, and how a run compares.

use serde_json::{Value, json};

/// How far this release may be from the budget: half of each rate, twice everything else.
pub(crate) const FLOOR: f64 = 2.0;

/// A figure of the budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) kind: Kind,
    /// What it must reach in the end; none where only the figure is of interest.
    pub(crate) budget: Option<f64>,
    /// What Azure Workload Identity 1.6.0 was seen to need for the same, on the machine that the budget was set on.
    pub(crate) upstream: Option<f64>,
}

/// What a figure counts, and so how it may be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// More is better; depends on what else the machine does.
    Rate,
    /// Less is better; depends on what else the machine does.
    Time,
    /// Less is better, and the same on a busy machine: time on the core, memory, bytes.
    Cost,
}

/// A figure with what was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) figure: Figure,
    pub(crate) measured: f64,
    /// How many times slower the machine was meanwhile than the one that the budget was set on, see [`crate::pace`]; 1
    /// where that makes no difference.
    pub(crate) pace: f64,
}

/// Time on the core, for one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    /// In microseconds.
    pub(crate) cost: f64,
    /// See [`Row::pace`].
    pub(crate) pace: f64,
}

/// Every figure once.
pub(crate) mod figure {
    use super::{Figure, Kind};

    const fn figure(name: &'static str, unit: &'static str, kind: Kind, budget: f64) -> Figure {
        Figure { name, unit, kind, budget: Some(budget), upstream: None }
    }

    pub(crate) const H2_RATE: Figure =
        figure("webhook: admissions, HTTP/2", "1/s", Kind::Rate, 30_000.0).against(808.0);
    pub(crate) const H2_CPU: Figure =
        figure("webhook: CPU per admission, HTTP/2", "us", Kind::Cost, 33.0).against(1_237.0);
    pub(crate) const H1_RATE: Figure =
        figure("webhook: admissions, HTTP/1.1", "1/s", Kind::Rate, 30_000.0).against(830.0);
    pub(crate) const H1_CPU: Figure =
        figure("webhook: CPU per admission, HTTP/1.1", "us", Kind::Cost, 33.0).against(1_208.0);
    pub(crate) const MANY_RATE: Figure = Figure {
        name: "webhook: admissions, 500 connections",
        unit: "1/s",
        kind: Kind::Rate,
        budget: None,
        upstream: None,
    };
    pub(crate) const MANY_CPU: Figure = Figure {
        name: "webhook: CPU per admission, 500 connections",
        unit: "us",
        kind: Kind::Cost,
        budget: None,
        upstream: None,
    };
    pub(crate) const P50: Figure = figure("webhook: one at a time, p50", "ms", Kind::Time, 0.16).against(1.13);
    pub(crate) const P99: Figure = figure("webhook: one at a time, p99", "ms", Kind::Time, 0.35).against(3.2);
    pub(crate) const FEW_MEMORY: Figure =
        figure("webhook: peak memory, 8 connections", "MiB", Kind::Cost, 18.0).against(50.0);
    pub(crate) const MANY_MEMORY: Figure =
        figure("webhook: peak memory, 500 connections", "MiB", Kind::Cost, 36.0).against(80.0);
    pub(crate) const ACCOUNTS_20K: Figure =
        figure("webhook: memory, 20,000 annotated accounts", "MiB", Kind::Cost, 22.0).against(129.0);
    pub(crate) const ACCOUNTS_100K: Figure =
        figure("webhook: memory, 100,000 annotated accounts", "MiB", Kind::Cost, 40.0);
    pub(crate) const ACCOUNTS_PEAK: Figure =
        figure("webhook: peak memory, 100,000 accounts in a stream", "MiB", Kind::Cost, 40.0);
    pub(crate) const ACCOUNTS_PAGED_PEAK: Figure =
        figure("webhook: peak memory, 100,000 accounts in pages", "MiB", Kind::Cost, 44.0);
    pub(crate) const ACCOUNTS_START: Figure =
        figure("webhook: start to ready with 100,000 accounts", "s", Kind::Time, 5.0);
    pub(crate) const START: Figure = figure("sidecar: start to first answer", "ms", Kind::Time, 2.0).against(16.4);
    pub(crate) const TOKEN_MEMORY: Figure =
        figure("sidecar: memory after the first token", "MiB", Kind::Cost, 3.8).against(31.0);
    pub(crate) const MANY_TOKENS_MEMORY: Figure =
        figure("sidecar: memory after a million tokens", "MiB", Kind::Cost, 3.8);
    pub(crate) const TOKEN_RATE: Figure =
        figure("sidecar: cached tokens", "1/s", Kind::Rate, 70_000.0).against(36_300.0);
    pub(crate) const TOKEN_CPU: Figure = figure("sidecar: CPU per cached token", "us", Kind::Cost, 14.0).against(27.3);
    pub(crate) const SIZE: Figure = figure("sidecar: static binary", "MiB", Kind::Cost, 4.0).against(34.9);
}

impl Figure {
    const fn against(self, upstream: f64) -> Self {
        Self { upstream: Some(upstream), ..self }
    }

    pub(crate) fn measured(self, measured: f64) -> Row {
        Row { figure: self, measured, pace: 1.0 }
    }

    /// The median of several runs, each by its own pace; none of none.
    pub(crate) fn median(self, runs: &mut [CpuTime]) -> Option<Row> {
        runs.sort_by(|one, other| (one.cost / one.pace).total_cmp(&(other.cost / other.pace)));
        let CpuTime { cost, pace } = *runs.get(runs.len() / 2)?;
        Some(Row { figure: self, measured: cost, pace })
    }

    /// The worst value that passes.
    fn floor(&self) -> Option<f64> {
        self.budget.map(|budget| if self.kind == Kind::Rate { budget / FLOOR } else { budget * FLOOR })
    }
}

impl Row {
    /// How many times worse than the budget: 1 reaches it, less is better.
    fn ratio(&self) -> Option<f64> {
        let budget = self.figure.budget?;
        let measured = self.measured / self.pace;
        Some(if self.figure.kind == Kind::Rate { budget / measured } else { measured / budget })
    }

    /// True unless it is beyond the floor.
    pub(crate) fn holds(&self) -> bool {
        self.ratio().is_none_or(|ratio| ratio <= FLOOR)
    }

    /// True where a busy machine is no excuse.
    pub(crate) fn binding(&self) -> bool {
        self.figure.kind == Kind::Cost
    }

    fn verdict(&self) -> &'static str {
        match self.ratio() {
            None => "",
            Some(ratio) if ratio <= 1.0 => "reached",
            Some(_) if self.holds() => "within the floor",
            Some(_) if self.binding() => "BEYOND",
            Some(_) => "beyond (not binding)",
        }
    }

    pub(crate) fn json(&self) -> Value {
        let Figure { name, unit, kind, budget, .. } = self.figure;
        json!({
            "figure": name,
            "unit": unit,
            "measured": self.measured,
            "budget": budget,
            "floor": self.figure.floor(),
            "pace": self.pace,
            "timesBudget": self.ratio(),
            "holds": self.holds(),
            "binding": kind == Kind::Cost,
        })
    }
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<52} {:>10} {:>6} {:>10} {:>10} {:>6}   {}\n",
        "figure", "measured", "pace", "budget", "floor", "ratio", "verdict"
    );
    for row in rows {
        let Figure { name, unit, budget, .. } = row.figure;
        let name = format!("{name} ({unit})");
        text.push_str(&format!(
            "{name:<52} {:>10} {:>6.2} {:>10} {:>10} {:>6}   {}\n",
            number(Some(row.measured)),
            row.pace,
            number(budget),
            number(row.figure.floor()),
            row.ratio().map_or_else(|| String::from("-"), |ratio| format!("{ratio:.2}")),
            row.verdict(),
        ));
    }
    text
}

/// The rows as a table of a document.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| figure | measured | pace | by its pace | budget | | Azure Workload Identity 1.6.0 |\n|---|--:|--:|--:|--:|---|--:|\n",
    );
    for row in rows {
        let Figure { name, unit, budget, upstream, .. } = row.figure;
        text.push_str(&format!(
            "| {name} ({unit}) | {} | {:.2} | {} | {} | {} | {} |\n",
            number(Some(row.measured)),
            row.pace,
            number(Some(row.measured / row.pace)),
            number(budget),
            row.verdict(),
            number(upstream),
        ));
    }
    text
}

fn number(value: Option<f64>) -> String {
    match value {
        None => String::from("-"),
        Some(value) if value >= 1000.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// The value that `share` (0..=1) of the values do not exceed, with 0 the lowest; none of no values.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_half_and_a_cost_twice() {
        assert!(figure::H2_RATE.measured(15_000.0).holds());
        assert!(!figure::H2_RATE.measured(14_999.0).holds());
        assert!(figure::H2_CPU.measured(66.0).holds());
        assert!(!figure::H2_CPU.measured(66.1).holds());
    }

    #[test]
    fn only_what_a_busy_machine_leaves_alone_is_binding() {
        assert!(figure::SIZE.measured(1.0).binding());
        assert!(!figure::START.measured(1.0).binding());
        assert!(!figure::TOKEN_RATE.measured(1.0).binding());
    }

    #[test]
    fn a_slow_core_is_no_excuse_and_a_fast_one_no_merit() {
        let run = |cost, pace| figure::H2_CPU.median(&mut [CpuTime { cost, pace }]).map(|row| row.holds());
        assert_eq!(run(98.0, 1.5), Some(true));
        assert_eq!(run(100.0, 1.5), Some(false));
        assert_eq!(run(50.0, 0.7), Some(false));
        assert_eq!(figure::H2_CPU.median(&mut []).map(|row| row.holds()), None);
        let mut runs = [(40.0, 1.0), (50.0, 2.0), (60.0, 2.0)].map(|(cost, pace)| CpuTime { cost, pace });
        assert_eq!(figure::H2_CPU.median(&mut runs).map(|row| row.measured), Some(60.0));
    }

    #[test]
    fn a_figure_without_budget_always_holds() {
        assert!(figure::MANY_RATE.measured(1.0).holds());
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(quantile(&mut values, 0.5), Some(3.0));
        assert_eq!(quantile(&mut values, 0.99), Some(5.0));
        assert_eq!(quantile(&mut values, 0.0), Some(1.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
