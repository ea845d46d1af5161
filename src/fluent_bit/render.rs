//! Findings as a person reads them: worst first, each with where, what, why and what to write instead, and a
//! verdict at the end.

use super::finding::{Finding, Mend, Severity};
use super::{Configuration, Form};

/// Places that are named one by one; of more, their number.
const PLACES_SHOWN: usize = 6;

/// The whole report, without a line break at its end.
pub fn render(configuration: &Configuration, findings: &[Finding]) -> String {
    let mut report = String::new();
    for finding in findings {
        one(&mut report, configuration.form, finding);
        report.push('\n');
    }
    report.push_str(&verdict(findings));
    report
}

fn one(report: &mut String, form: Form, finding: &Finding) {
    let mut places: Vec<String> = finding.places.iter().take(PLACES_SHOWN).map(ToString::to_string).collect();
    if finding.places.len() > PLACES_SHOWN {
        places.push(format!("and {} more", finding.places.len() - PLACES_SHOWN));
    }
    report.push_str(&format!("{:<8}{}  {}", finding.severity.as_str(), places.join(", "), finding.section));
    if !finding.found.is_empty() {
        report.push_str(&format!(": {}", finding.found));
    }
    report.push('\n');
    if !finding.consequence.is_empty() {
        report.push_str(&format!("        {}\n", finding.consequence));
    }
    for mend in &finding.mends {
        report.push_str(&match mend {
            Mend::Write { section: None, key, value } => format!("        write:  {}\n", line(form, key, value)),
            Mend::Write { section: Some(section), key, value } => {
                format!("        write in {}:  {}\n", header(form, section), line(form, key, value))
            }
            Mend::Remove => "        take this line out\n".to_owned(),
            Mend::Otherwise(how) => format!("        {how}\n"),
        });
    }
}

fn header(form: Form, section: &str) -> String {
    match form {
        Form::Classic | Form::FireLens => format!("[{}]", section.to_ascii_uppercase()),
        Form::Yaml if section == "service" => "service".to_owned(),
        Form::Yaml => format!("the {section}"),
    }
}

fn line(form: Form, key: &str, value: &str) -> String {
    match form {
        Form::Classic => format!("{key} {value}"),
        Form::FireLens => format!("\"{key}\": \"{value}\""),
        Form::Yaml => {
            let bare = value.chars().all(|c| c.is_ascii_alphanumeric() || "/._- ".contains(c));
            let value = if bare { value.to_owned() } else { format!("'{value}'") };
            format!("{}: {value}", key.to_ascii_lowercase())
        }
    }
}

fn verdict(findings: &[Finding]) -> String {
    let kinds = [Severity::Lost, Severity::Doubled, Severity::Hurts, Severity::Slowed, Severity::Note];
    let counts: Vec<String> = kinds
        .into_iter()
        .filter_map(|kind| {
            let count = findings.iter().filter(|finding| finding.severity == kind).count();
            let s = if kind == Severity::Note && count > 1 { "s" } else { "" };
            (count > 0).then(|| format!("{count} {}{s}", kind.as_str()))
        })
        .collect();
    let costs_nothing = findings.iter().all(|finding| finding.severity == Severity::Note);
    match (costs_nothing, counts.is_empty()) {
        (true, true) => "nothing here loses, doubles or slows lines".to_owned(),
        (true, false) => format!("nothing here loses, doubles or slows lines; {}", counts.join(", ")),
        (false, _) => counts.join(", "),
    }
}
