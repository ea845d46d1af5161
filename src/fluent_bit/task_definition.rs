//! ECS task definitions (and CloudFormation, and a bare `logConfiguration`): the configuration that FireLens makes
//! of the log driver's options.
//!
//! What it generates: a `forward` input with a limit of half the router's memory (25 MB without one), and one output
//! per container that matches `<container>-firelens*`, with every option as a key. Options are a map, so each
//! key stands once, and none of them can set anything in `[SERVICE]`.

use std::sync::Arc;

use super::section::{Entry, Kind, Section};
use super::tree::{self, Content, Node, Root};
use super::{Configuration, FireLens, Form, SECTIONS_MAX, Unreadable};

/// Options that are the driver's, or that become filters.
const NOT_KEYS: [&str; 5] =
    ["include-pattern", "exclude-pattern", "log-driver-buffer-limit", "mode", "max-buffer-size"];

/// `None`: no container logs through FireLens.
pub(super) fn read(root: &Root) -> Result<Option<Configuration>, Unreadable> {
    let mut found =
        Found { label: Arc::clone(&root.label), outputs: vec![], firelens: FireLens::default(), limit: None };
    let mut any = false;
    for document in &root.nodes {
        any |= found.walk(document, 0);
    }
    if !any {
        return Ok(None);
    }
    let mut input = Section::new(Kind::Input, &root.label, 0);
    input.generated = true;
    let limit = found.limit.unwrap_or_else(|| "25MB".to_owned());
    input.entries = vec![Entry::new("Name", "forward", 0), Entry::new("Mem_Buf_Limit", &limit, 0)];
    let mut sections = vec![input];
    sections.append(&mut found.outputs);
    sections.truncate(SECTIONS_MAX);
    Ok(Some(Configuration { form: Form::FireLens, sections, remarks: vec![], firelens: Some(found.firelens) }))
}

struct Found {
    label: Arc<str>,
    outputs: Vec<Section>,
    firelens: FireLens,
    limit: Option<String>,
}

impl Found {
    /// Whether anything of FireLens is in it.
    fn walk(&mut self, node: &Node, depth: usize) -> bool {
        if depth > tree::DEPTH_MAX {
            return false;
        }
        let mut any = self.container(node);
        match &node.content {
            Content::Text { .. } => {}
            Content::List(items) => items.iter().for_each(|item| any |= self.walk(item, depth + 1)),
            Content::Map(pairs) => pairs.iter().for_each(|pair| any |= self.walk(&pair.value, depth + 1)),
        }
        any
    }

    /// What may be a container's definition.
    fn container(&mut self, node: &Node) -> bool {
        let mut any = false;
        if let Some(router) = node.get("firelensConfiguration") {
            any = true;
            self.router(node, router);
        }
        let Some(logs) = node.get("logConfiguration") else { return any };
        if !logs.word("logDriver").is_some_and(|driver| driver.eq_ignore_ascii_case("awsfirelens")) {
            return any;
        }
        let options = logs.pair("options");
        let line = options.map_or(logs.line, |pair| pair.line);
        let mut output = Section::new(Kind::Output, &self.label, line);
        let container = node.word("name").unwrap_or("*");
        output.entries.push(Entry::new("Match", &format!("{container}-firelens*"), line));
        for pair in options.map(|pair| pair.value.pairs()).unwrap_or_default() {
            let value = pair.value.as_text().unwrap_or("${value}");
            let key =
                if NOT_KEYS.contains(&pair.key.as_str()) { format!("driver {}", pair.key) } else { pair.key.clone() };
            output.entries.push(Entry::new(&key, value, pair.line));
        }
        for secret in logs.get("secretOptions").map(Node::items).unwrap_or_default() {
            if let Some(name) = secret.word("name") {
                // The agent hands it over by the router's environment.
                output.entries.push(Entry::new(name, "${secret}", secret.line));
            }
        }
        self.outputs.push(output);
        true
    }

    fn router(&mut self, container: &Node, router: &Node) {
        let megabytes = container.word("memory").and_then(|memory| memory.parse::<u64>().ok());
        self.limit = megabytes.map(|memory| format!("{}MB", memory / 2));
        self.firelens.image = container.word("image").map(str::to_owned);
        let options = router.get("options");
        let file = options.and_then(|o| o.word("config-file-value")).map(|value| format!("config-file-value {value}"));
        // The `init` images read further files, which the environment names.
        let environment = container.get("environment").map(Node::items).unwrap_or_default().iter();
        let further = environment.filter_map(|item| Some((item.word("name")?, item.word("value")?)));
        let mut further = further.filter(|(name, _)| name.starts_with("aws_fluent_bit_init_"));
        self.firelens.file = file.or_else(|| further.next().map(|(name, value)| format!("{name} {value}")));
        self.firelens.without_metadata = options
            .and_then(|o| o.pair("enable-ecs-log-metadata"))
            .filter(|pair| pair.value.as_text().is_some_and(|text| text.eq_ignore_ascii_case("false")))
            .map(|pair| pair.line);
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::{entries, read_text, unreadable};

    const TASK: &str = r#"{
  "containerDefinitions": [
    {"name": "log_router", "memory": 100, "image": "aws-for-fluent-bit:2.32.0",
     "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "false"}}},
    {"name": "web", "logConfiguration": {"logDriver": "awsfirelens", "options": {
      "Name": "http",
      "log-driver-buffer-limit": "1"
    }, "secretOptions": [{"name": "http_Passwd", "valueFrom": "arn"}]}}
  ]
}"#;

    #[test]
    fn options_become_the_output_that_firelens_generates() {
        let configuration = read_text("t.json", TASK);
        let told = entries(&configuration);
        assert_eq!(
            told,
            [
                "0 name=forward",
                "0 mem_buf_limit=50MB",
                "5 match=web-firelens*",
                "6 name=http",
                "7 driver log-driver-buffer-limit=1",
                "8 http_passwd=${secret}"
            ]
        );
        assert_eq!(configuration.firelens.unwrap().without_metadata, Some(4));
    }

    #[test]
    fn json_without_firelens_is_refused() {
        assert!(unreadable("t.json", "{\"a\": 1}").contains("awsfirelens"));
    }
}
