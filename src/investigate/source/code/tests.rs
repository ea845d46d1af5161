//! Functions as people cut them out, in every language.

use super::*;

fn shown(text: &str, language: Language, line: u32, name: Option<&str>) -> (By, Option<String>, String) {
    let part = part(text, language, Some(line), name, true).expect("a part");
    let lines: Vec<String> = part.runs.into_iter().flat_map(|(_, lines)| lines).collect();
    (part.by, part.name, lines.join("\n"))
}

/// The line that holds `here`, from 1.
fn place(text: &str) -> u32 {
    text.lines().position(|line| line.contains("HERE")).expect("a mark") as u32 + 1
}

fn check(language: Language, text: &str, name: Option<&str>, want: &str, first: &str, last: &str) {
    let (by, found, lines) = shown(text, language, place(text), name);
    assert_eq!(found.as_deref(), Some(want), "{lines}");
    assert_eq!(by, if name.is_some() { By::Both } else { By::Line }, "{lines}");
    assert_eq!(lines.lines().next().expect("a line").trim(), first, "{lines}");
    assert_eq!(lines.lines().last().expect("a line").trim(), last, "{lines}");
}

#[test]
fn python() {
    let text = r#"
import os

QUERY = """
def not_a_function(
"""

class Cart:
    @cached
    @retry(
        times=3,
    )
    def total(
        self,
        rate: float = 1.0,
    ) -> float:
        """Adds up.

def neither():
        """
        sql = """
select 1
"""
        def inner(x):
            return x
        # a comment at the margin of the class

        return sum(
            line.price
            for line in self.lines  # HERE
        )

    async def pay(self):
        pass


def main():
    pass
"#;
    check(Language::Python, text, Some("total"), "total", "@cached", ")");
    check(Language::Python, text, None, "total", "@cached", ")");
}

#[test]
fn python_at_the_end_of_a_file_and_at_the_top_level() {
    check(
        Language::Python,
        "def a():\n\treturn 1\n\ndef b():\n\n\treturn 2 # HERE\n\n",
        None,
        "b",
        "def b():",
        "return 2 # HERE",
    );
    let text = "x = 1\ny = 2 # HERE\n";
    assert_eq!(shown(text, Language::Python, 2, None).0, By::Neither);
}

#[test]
fn ruby() {
    let text = "module Shop\n  class Order\n    def self.total(lines)\n      sql = <<~SQL\nend\n      SQL\n      lines.each do |l|\n        l.price # HERE\n      end\n    end\n\n    def other; end\n  end\nend\n";
    check(Language::Ruby, text, Some("total"), "total", "def self.total(lines)", "end");
    assert!(!shown(text, Language::Ruby, 8, None).2.contains("other"));
}

#[test]
fn java() {
    let text = r#"package com.acme;
/** A { comment. */
public class Price extends Base<Map<String, List<X>>> {
    private static final char OPEN = '{';
    private final Runnable r = () -> { run(); };

    @Deprecated(since = "{")
    public <T extends Comparable<T>> Money of(
            @Nullable String sku, Map<String, Money> list) throws Unknown {
        String s = "}}} \" {";
        for (int i = 0; i < 3; i++) {
            if (list.get(sku) == null) { // }
                list.forEach((k, v) -> {
                    use(k); // HERE
                });
            }
        }
        String t = """
            } " {
            """;
        return list.get(sku);
    }

    Price(String s) { super(s); }
}
"#;
    check(Language::Java, text, Some("of"), "of", "@Deprecated(since = \"{\")", "}");
    check(Language::Java, text, None, "of", "@Deprecated(since = \"{\")", "}");
    assert_eq!(shown(text, Language::Java, 24, Some("Price")).0, By::Both);
}

#[test]
fn script() {
    let text = "const re = /[{/]\\}/g;\nclass Cart {\n  static async total(lines: Line[], opts = { a: 1 }): Promise<number> {\n    const s = `a ${lines.map((l) => { return `{${l}`; })} }`;\n    for (const l of lines) {\n      if (l.bad) { throw new Error('}'); } // HERE\n    }\n    return 1;\n  }\n\n  other() { return 2; }\n}\n";
    check(
        Language::Script,
        text,
        Some("total"),
        "total",
        "static async total(lines: Line[], opts = { a: 1 }): Promise<number> {",
        "}",
    );
    check(
        Language::Script,
        text,
        None,
        "total",
        "static async total(lines: Line[], opts = { a: 1 }): Promise<number> {",
        "}",
    );
    let text = "const price = async (sku) =>\n{\n  return table[sku].price // HERE\n}\nconst other = 1\n";
    check(Language::Script, text, Some("price"), "price", "const price = async (sku) =>", "}");
    let text = "app.post('/pay', async (req, res) => {\n  const a = 1\n  res.json(req.body.x.y) // HERE\n})\n";
    let (by, name, lines) = shown(text, Language::Script, 3, None);
    assert_eq!((by, name, lines.lines().count()), (By::Line, None, 4));
    let text = "module.exports.pay = function (x) {\n  return x.y // HERE\n}\n";
    check(Language::Script, text, Some("pay"), "pay", "module.exports.pay = function (x) {", "}");
    let text = "function a() {\n  return 1\n}\n\nexport default function reserve(o) {\n  return {\n    sku: o.sku, // HERE\n  }\n}\n";
    check(Language::Script, text, Some("reserve"), "reserve", "export default function reserve(o) {", "}");
}

#[test]
fn go() {
    let text = "package store\n\nvar x = map[string]int{\n\t\"a\": 1,\n}\n\nfunc (s *Store) Get(id string, f func(a int) bool) (Row, error) {\n\tdefer func() {\n\t\trecover()\n\t}()\n\tr := '{'\n\tq := `}}`\n\tif row, ok := s.rows[id]; ok {\n\t\treturn *row, nil // HERE\n\t}\n\treturn Row{}, nil\n}\n\nfunc Other() {}\n";
    check(
        Language::Go,
        text,
        Some("Get"),
        "Get",
        "func (s *Store) Get(id string, f func(a int) bool) (Row, error) {",
        "}",
    );
    check(Language::Go, text, None, "Get", "func (s *Store) Get(id string, f func(a int) bool) (Row, error) {", "}");
    let text = "func plain(a int) {\n\tpanic(a) // HERE\n}\n";
    check(Language::Go, text, Some("plain"), "plain", "func plain(a int) {", "}");
}

#[test]
fn rust() {
    let text = "impl<'a> Cart<'a> {\n    /// Adds {\n    #[inline]\n    pub(crate) fn total<T>(&'a self, open: char) -> Result<u64, Box<dyn Fn() -> u64>>\n    where\n        T: Into<u64>,\n    {\n        let s = r#\"} \" {\"#;\n        match open {\n            '{' => 1,\n            Some(x) => { self.lines[9].price } // HERE\n        }\n    }\n\n    fn other() {}\n}\n";
    check(Language::Rust, text, Some("total"), "total", "#[inline]", "}");
    check(Language::Rust, text, None, "total", "#[inline]", "}");
}

#[test]
fn php_and_dotnet() {
    let text = "<?php\n# a { comment\nclass Cart {\n    #[Pure]\n    public function total(array $lines): float {\n        $s = '{';\n        $h = <<<EOT\n        } {\n        EOT;\n        return array_sum(array_map(function ($l) { return $l->price; }, $lines)); // HERE\n    }\n}\n";
    check(Language::Php, text, Some("total"), "total", "#[Pure]", "}");
    let text = "namespace App {\n  public class Pay<T> : Base<T> where T : class\n  {\n    private readonly string p = @\"C:\\\";\n    [HttpPost(\"{id}\")]\n    public async Task<int> CloseAsync<TKey>(string id)\n    {\n      using (var x = Open()) {\n        return map[id]; // HERE\n      }\n    }\n    public int N { get; set; }\n  }\n}\n";
    check(Language::Dotnet, text, Some("CloseAsync"), "CloseAsync", "[HttpPost(\"{id}\")]", "}");
}

#[test]
fn a_line_that_does_not_fit_gives_way_to_a_name_that_does() {
    let text = "def a():\n    return 1\n\ndef b():\n    return 2\n";
    let part = part(text, Language::Python, Some(2), Some("b"), true).expect("a part");
    assert_eq!((part.by, part.name.as_deref(), part.at), (By::Name, Some("b"), None));
    assert_eq!(super::part(text, Language::Python, Some(99), Some("b"), true).expect("a part").by, By::Name);
    assert_eq!(super::part(text, Language::Python, Some(99), None, true), None);
    assert_eq!(super::part(text, Language::Python, Some(1), Some("b"), false).expect("a part").by, By::Name);
}

#[test]
fn of_a_long_function_its_head_and_the_place_are_shown() {
    let body: String = (0..500).map(|n| format!("    step({n})\n")).collect();
    let text = format!("def long():\n{body}");
    let part = part(&text, Language::Python, Some(300), Some("long"), true).expect("a part");
    let runs: Vec<(u32, usize)> = part.runs.iter().map(|(first, lines)| (*first, lines.len())).collect();
    assert_eq!(runs, [(1, 8), (276, 49)]);
}
