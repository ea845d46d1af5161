//! The cookbook of docs/watches.md: every recipe is accepted as it stands, counts the lines that it says, and no others.

use serde_json::{Value, json};

use crate::story::{now, post, start};
use crate::world::http::get_json;
use crate::world::program::Program;

struct Recipe {
    label: String,
    toml: String,
    counted: Vec<String>,
    others: Vec<String>,
}

fn recipes() -> Vec<Recipe> {
    let page = include_str!("../../docs/watches.md");
    let mut recipes: Vec<Recipe> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let inside = |lines: &mut std::str::Lines<'static>| -> Vec<&'static str> {
            lines.by_ref().take_while(|line| *line != "```").collect()
        };
        match line {
            "```toml" => {
                let toml = inside(&mut lines).join("\n");
                let label = toml.lines().find_map(|line| line.strip_prefix("label = \"")?.strip_suffix('"'));
                let label = label.unwrap_or_else(|| panic!("a label in {toml}")).to_owned();
                recipes.push(Recipe { label, toml, counted: Vec::new(), others: Vec::new() });
            }
            "```text" => {
                let recipe = recipes.last_mut().expect("lines stand under their recipe");
                for line in inside(&mut lines) {
                    match line.split_at(2) {
                        ("+ ", line) => recipe.counted.push(line.to_owned()),
                        ("- ", line) => recipe.others.push(line.to_owned()),
                        _ => panic!("neither + nor -: {line}"),
                    }
                }
            }
            _ => {}
        }
    }
    recipes
}

fn send(program: &Program, lines: &[String]) {
    let record = |line: &String| {
        let mut record = json!({
            "date": now(), "source": "stdout", "log": line, "container_name": "app", "ecs_cluster": "prod",
            "ecs_task_definition": "shop:42", "ec2_instance_id": "i-028fe1e6146f717f4",
        });
        // One that says its cluster is a record, not the line of one.
        if let Ok(Value::Object(own)) = serde_json::from_str(line)
            && own.contains_key("ecs_cluster")
        {
            record.as_object_mut().expect("an object").extend(own);
        }
        record
    };
    post(program, lines.iter().map(|line| record(line).to_string() + "\n").collect::<String>());
}

fn matched(program: &Program, label: &str) -> u64 {
    let watch: Value = get_json(program.control_addr(), &format!("/watches/{label}"));
    watch["matched_total"].as_u64().expect("a count")
}

#[test]
fn every_recipe_counts_the_lines_that_it_says_and_no_others() {
    let recipes = recipes();
    assert!(recipes.len() >= 20, "{}", recipes.len());
    let program = start(&recipes.iter().map(|recipe| recipe.toml.clone() + "\n\n").collect::<String>());
    for recipe in &recipes {
        assert!(!recipe.counted.is_empty(), "{} shows a line that it counts", recipe.label);
        for (lines, counts) in [(&recipe.counted, true), (&recipe.others, false)] {
            for line in lines {
                let before = matched(&program, &recipe.label);
                send(&program, std::slice::from_ref(line));
                let more = matched(&program, &recipe.label) - before;
                assert_eq!(more, u64::from(counts), "{}: {line}", recipe.label);
            }
        }
    }
}
