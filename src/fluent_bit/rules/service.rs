//! `[SERVICE]`: what all inputs and outputs share.

use super::super::finding::{Finding, Severity};
use super::super::values::{self, Retries};
use super::View;

/// Lines leave only at the flush tick.
const LATE_SECONDS: i64 = 5;

/// `Flush` is 1 s unless said (src/flb_config.c).
pub(super) fn flush(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(service) = view.service else { return };
    let Some(text) = service.known("flush") else { return };
    let seconds = values::leading(text);
    if seconds > LATE_SECONDS {
        findings.push(
            service
                .finding("service_flush", Severity::Slowed, "Flush", "")
                .says(format!(
                    "Lines leave every {seconds} s only, in bodies that much larger; so alarms are that late."
                ))
                .write("Flush", "1"),
        );
    }
}

/// What is in memory and not sent within `Grace` (5 s unless said) is lost when Fluent Bit stops (src/flb_engine.c).
pub(super) fn shutdown(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(service) = view.service else { return };
    let in_memory = view.ours.iter().any(|output| view.holds_memory(output)) && !view.is_fragment();
    let grace = service.known("grace").map_or(5, values::leading);
    if in_memory && grace < 10 && service.get("grace").is_none_or(|entry| entry.known().is_some()) {
        findings.push(
            service
                .finding("service_shutdown", Severity::Note, "Grace", "the default is 5")
                .says(format!("When Fluent Bit stops, lines in memory have {grace} s to get out; the rest is lost."))
                .write("Grace", "30"),
        );
    }
}

/// `scheduler.base` and `scheduler.cap` are for all outputs: a low cap makes limited retries run out sooner.
pub(super) fn shared_clock(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(service) = view.service.filter(|service| service.has("scheduler.cap")) else { return };
    let hurried: Vec<String> = view
        .others
        .iter()
        .filter(|output| matches!(View::retries(output), Some(Retries::Times(times)) if times > 2))
        .map(|output| output.label())
        .collect();
    if let Some(first) = hurried.first() {
        findings.push(
            service
                .finding("service_shared_clock", Severity::Note, "scheduler.cap", "")
                .says(format!("For all outputs: the retries of {first} run out sooner, too; raise its Retry_Limit.")),
        );
    }
}

/// What Fluent Bit drops, no receiver sees: only its own figures tell (`fluentbit_output_dropped_records_total`).
pub(super) fn figures(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(service) = view.service.filter(|_| !view.is_fragment()) else { return };
    let on = match service.get("http_server") {
        Some(entry) => entry.known().is_none_or(|text| values::boolean(text) == Some(true)),
        None => false,
    };
    if !on {
        findings.push(
            service
                .finding("service_figures", Severity::Note, "HTTP_Server", "off")
                .says("What Fluent Bit drops is in its own figures only: fluentbit_output_dropped_records_total cannot be scraped.")
                .write("HTTP_Server", "On"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn what_all_outputs_share_is_judged() {
        let fine = " HTTP_Server On\n Grace 30\n";
        let es = "[OUTPUT]\n Name es\n Match *\n Retry_Limit 5\n";
        for (service, other, expected) in [
            (fine.to_owned(), "", ""),
            (format!("{fine} Flush 30\n"), "", "slowed service_flush"),
            (format!("{fine} Flush 0.5\n"), "", ""),
            (" HTTP_Server On\n".to_owned(), "", "note service_shutdown"),
            (" HTTP_Server On\n Grace 2\n".to_owned(), "", "note service_shutdown"),
            (" Grace 30\n".to_owned(), "", "note service_figures"),
            (format!("{fine} scheduler.cap 10\n"), es, "note service_shared_clock"),
            (format!("{fine} scheduler.cap 10\n"), "", ""),
        ] {
            let text = format!(
                "[SERVICE]\n{service}[INPUT]\n Name tail\n{other}[OUTPUT]\n Name http\n Match *\n URI /ingest\n"
            );
            assert_eq!(rules(&text, "service_"), expected, "{service}");
        }
    }
}
