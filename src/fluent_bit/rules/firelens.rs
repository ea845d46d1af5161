//! What only a task definition says.

use super::super::finding::{Finding, Place, Severity};
use super::super::values;
use super::View;

/// `enable-ecs-log-metadata=false` leaves out the filter that adds `ecs_cluster`, `ecs_task_definition` and the
/// rest (amazon-ecs-agent, firelensconfig_unix.go).
pub(super) fn metadata(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(line) = view.configuration.firelens.as_ref().and_then(|firelens| firelens.without_metadata) else {
        return;
    };
    let Some(output) = view.ours.first() else { return };
    let place = Place { file: output.file.clone(), line };
    findings.push(
        Finding::new(
            "firelens_metadata",
            Severity::Note,
            place,
            "firelensConfiguration",
            "enable-ecs-log-metadata false",
        )
        .says("Lines do not say which cluster and service they are from; watches that group by service see one.")
        .write("enable-ecs-log-metadata", "true"),
    );
}

/// Docker's driver drops what does not fit: `log-driver-buffer-limit` is 1048576 unless said.
pub(super) fn driver(view: &View<'_>, findings: &mut Vec<Finding>) {
    for output in &view.ours {
        let key = "driver log-driver-buffer-limit";
        let Some(entry) = output.get(key) else { continue };
        if entry.known().is_some_and(|text| values::leading(text) < 1_048_576) {
            let place = Place { file: output.file.clone(), line: entry.line };
            let found = format!("log-driver-buffer-limit {}", super::super::finding::shown(&entry.value));
            findings.push(
                Finding::new("firelens_driver", Severity::Note, place, output.label(), found)
                    .says(
                        "Below the default: while the router is slow or restarts, the driver drops what does not fit.",
                    )
                    .write("log-driver-buffer-limit", "1048576"),
            );
        }
    }
}

/// What a file inside the image or in S3 says cannot be read from here.
pub(super) fn own_file(view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(file) = view.configuration.firelens.as_ref().and_then(|firelens| firelens.file.as_deref()) else { return };
    let Some(output) = view.ours.first() else { return };
    let place = Place { file: output.file.clone(), line: 0 };
    let found = super::super::finding::shown(file);
    findings.push(
        Finding::new("firelens_own_file", Severity::Note, place, "firelensConfiguration", found)
            .says("Not read: an output for us in there, too, would count every line twice. Check that file as well."),
    );
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules_of;

    #[test]
    fn what_only_a_task_definition_says_is_judged() {
        for (router, option, expected) in [
            (r#""type": "fluentbit""#, r#""Port": "8080""#, ""),
            (r#""options": {"enable-ecs-log-metadata": "false"}"#, r#""Port": "8080""#, "note firelens_metadata"),
            (r#""options": {"enable-ecs-log-metadata": "true"}"#, r#""Port": "8080""#, ""),
            (r#""options": {"config-file-value": "/x.conf"}"#, r#""Port": "8080""#, "note firelens_own_file"),
            (
                r#""type": "fluentbit"}, "environment": [{"name": "aws_fluent_bit_init_s3_1", "value": "arn:x"}], "a": {"#,
                r#""Port": "8080""#,
                "note firelens_own_file",
            ),
            (r#""type": "fluentbit""#, r#""log-driver-buffer-limit": "1000""#, "note firelens_driver"),
            (r#""type": "fluentbit""#, r#""log-driver-buffer-limit": "2097152""#, ""),
        ] {
            let text = format!(
                r#"[{{"firelensConfiguration": {{{router}}}}},
                {{"name": "web", "logConfiguration": {{"logDriver": "awsfirelens", "options": {{"Name": "http", "URI": "/ingest", {option}}}}}}}]"#
            );
            assert_eq!(rules_of("t.json", &text, "firelens_"), expected, "{text}");
        }
    }
}
