//! `check`: the cluster, the installation and the user's rights, a line each, with a hint on what fails.

mod facts;
mod observe;
mod report;
mod schema;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use self::report::{Line, Report, Verdict};
use crate::arguments::{CheckOptions, Global};
use crate::connect;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Mark, Style, one_line};

/// Checks everything, and says what to do about what fails.
pub(crate) async fn run(global: &Global, options: &CheckOptions, style: Style) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    output::progress(&format!("checking {}", cluster.server));
    let report = if options.pre {
        report::before_installation(&observe::before_installation(&cluster, options).await)
    } else {
        report::installation(&observe::installation(&cluster, options).await)
    };
    output::print(&output::document(global.output, &report, |report| render(report, style))?)?;
    Ok(Outcome::from_health(report.ok))
}

fn render(report: &Report, style: Style) -> String {
    let mut text = String::new();
    for section in &report.sections {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}", style.bold(&section.name));
        for line in &section.checks {
            write_line(&mut text, line, style);
        }
        text.push('\n');
    }
    let (mark, closing) = match report.verdict() {
        Verdict::Ok => (Mark::Good, "all is well"),
        Verdict::Warning => (Mark::Warning, "it works, but see the lines marked above"),
        Verdict::Failed => (Mark::Bad, "something must be done, see the hints above"),
    };
    let _ = writeln!(text, "{} {closing}", style.mark(mark));
    text
}

fn write_line(text: &mut String, line: &Line, style: Style) {
    let mark = match line.result {
        Verdict::Ok => Mark::Good,
        Verdict::Warning => Mark::Warning,
        Verdict::Failed => Mark::Bad,
    };
    let _ = writeln!(text, "  {} {}", style.mark(mark), one_line(&line.text));
    if let Some(hint) = &line.hint {
        let _ = writeln!(text, "      hint: {}", one_line(hint));
    }
}
