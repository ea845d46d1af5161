//! Decides which watches a record concerns.
//!
//! All rules of a set are compiled together: a field is read once per record however many rules ask for it,
//! and the texts that rules look for in the message are searched by one automaton; only when it hits are
//! the single texts looked for. A test on a field that is not there (or is null) is false, `ne` included;
//! `exists: false` and `not` are the ways to ask for absence.
//!
//! Of an access line most rules ask only what its status says: for each status that is found out once ([`given`]).

mod given;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem::Finder;

use given::{Given, Left};

use super::rule::pattern::Pattern;
use super::rule::{Expr, Literal, Op, Rule};
use crate::record::fields::Name;
use crate::record::json::Value;
use crate::record::level::Level;
use crate::record::text::Text;
use crate::record::{Derived, Record, number_of};

/// The rules of one set, compiled.
pub struct Program {
    fields: Vec<FieldName>,
    rules: Vec<Node>,
    /// All texts looked for in the message; `None` when there are none.
    needles: Option<AhoCorasick>,
    /// None of them holds a quote or a backslash.
    are_plain: bool,
    /// Places of the rules that are about any service, and of those about one alone: there may be a hundred of
    /// the latter, and a record is of one service.
    of_any: Vec<usize>,
    of_services: Vec<Vec<usize>>,
    /// Places in `of_services`.
    services: HashMap<Box<[u8]>, usize>,
    given: Given,
}

#[derive(Clone, Debug, PartialEq)]
enum FieldName {
    Derived(Derived),
    Body(Name),
}

#[derive(Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// The field, by its place in `fields`.
    Test(usize, Arc<Test>),
    /// The message contains one of these texts.
    Message(Arc<[Box<[u8]>]>),
}

enum Test {
    Equal(Operand),
    NotEqual(Operand),
    Compare(Order, Operand),
    In(Vec<Operand>),
    Contains(Box<Contained>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    /// Linear in the text, whatever both are.
    Regex(Pattern),
    Exists(bool),
}

#[derive(Clone, Copy)]
enum Order {
    Greater,
    AtLeast,
    Less,
    AtMost,
}

/// A text that is looked for, with what was made of it for looking.
struct Contained {
    finder: Finder<'static>,
    /// It holds neither a quote nor a backslash.
    is_plain: bool,
}

/// Which rules are about a record's service alone: the same for all records of that service.
#[derive(Clone, Copy, Debug)]
pub struct OfService(Option<usize>);

/// What a rule compares with, in every form it may be compared in.
struct Operand {
    text: Box<[u8]>,
    number: Option<f64>,
    level: Option<Level>,
    null: bool,
}

/// Room for what is read of a record, reused from record to record.
#[derive(Default)]
pub struct Scratch {
    values: Vec<Option<Seen<'static>>>,
}

/// What is read of one record, as far as rules have asked.
struct Reading<'r, 'a> {
    program: &'r Program,
    record: &'r Record<'a>,
    values: Vec<Option<Seen<'a>>>,
    /// The message, where one of the program's texts stands in it; looked for once.
    message: Option<Option<Cow<'a, [u8]>>>,
}

struct Seen<'a> {
    value: Option<Value<'a>>,
    /// The value as a number; read off its digits once.
    number: Option<f64>,
    level: Option<Level>,
}

// === impl Program ===

impl Program {
    pub fn compile<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Program {
        let mut fields = Vec::new();
        let mut texts = Vec::new();
        let (mut of_any, mut of_services, mut services) = (Vec::new(), Vec::<Vec<usize>>::new(), HashMap::new());
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(place, rule)| {
                let Some((name, rest)) = of_service(&rule.expr) else {
                    of_any.push(place);
                    return node(&rule.expr, &mut fields, Some(&mut texts));
                };
                let at = *services.entry(name.as_bytes().into()).or_insert(of_services.len());
                match of_services.get_mut(at) {
                    Some(places) => places.push(place),
                    None => of_services.push(vec![place]),
                }
                // What one service is asked for is not looked for in everybody's messages.
                node(&rest, &mut fields, None)
            })
            .collect();
        // Building fails only for more texts than the bounds on rules allow; then each is searched alone.
        // Leftmost, so that its vectorised search for the texts' beginnings may be used; whether it hits at all is
        // the same question for every kind.
        let all = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&texts);
        let needles = if texts.is_empty() { None } else { all.ok() };
        let are_plain = texts.iter().all(|text| is_plain(text));
        Program { fields, rules, of_any, of_services, services, needles, are_plain, given: Given::default() }
    }

    /// For [`Program::matches`]; holds for this program alone.
    pub fn of_service(&self, record: &Record<'_>) -> OfService {
        if self.services.is_empty() {
            return OfService(None);
        }
        OfService(self.services.get(&*record.service().decoded()).copied())
    }

    /// The places of the rules that `record` matches, in order. `of`: of its service.
    pub fn matches<'a>(&self, record: &Record<'a>, of: OfService, scratch: &mut Scratch, mut hit: impl FnMut(usize)) {
        let mut values = recycled(std::mem::take(&mut scratch.values));
        values.resize_with(self.fields.len(), || None);
        let mut reading = Reading { program: self, record, values, message: None };
        // In the order of the rules: those of any service and those of this one.
        let of_service = of.0.and_then(|at| self.of_services.get(at)).map(Vec::as_slice).unwrap_or_default();
        let mut of_service = of_service.iter().copied().peekable();
        let mut before = |reading: &mut Reading<'_, 'a>, place, hit: &mut _| {
            while let Some(earlier) = of_service.next_if(|of| *of < place) {
                reading.tell(earlier, hit);
            }
        };
        match record.plain_status().and_then(|status| self.given(status)) {
            Some(left) => {
                for Left { place, rule } in left {
                    before(&mut reading, *place, &mut hit);
                    if rule.as_ref().is_none_or(|rule| reading.holds(rule)) {
                        hit(*place);
                    }
                }
            }
            None => {
                for place in self.of_any.iter().copied() {
                    before(&mut reading, place, &mut hit);
                    reading.tell(place, &mut hit);
                }
            }
        }
        before(&mut reading, usize::MAX, &mut hit);
        scratch.values = recycled(reading.values);
    }
}

/// The service that a rule is about, where it is about one alone, and what else it asks. A text that reads as a
/// number is compared as one, so that it may have other names.
fn of_service(expr: &Expr) -> Option<(&str, Expr)> {
    match expr {
        Expr::All(parts) => {
            let (at, (name, rest)) = parts.iter().enumerate().find_map(|(at, part)| Some((at, of_service(part)?)))?;
            let mut left = parts.clone();
            left.splice(at..=at, [rest]);
            Some((name, Expr::All(left)))
        }
        Expr::Test { field, op: Op::Eq(Literal::Text(name)) } if field == "service" => {
            number_of(name.as_bytes()).is_none().then_some((name, Expr::All(Vec::new())))
        }
        _ => None,
    }
}

fn is_plain(text: &[u8]) -> bool {
    memchr::memchr2(b'"', b'\\', text).is_none()
}

/// An empty vector of the same allocation for another record: `collect` reuses the buffer in place.
fn recycled<'a, 'b>(mut values: Vec<Option<Seen<'a>>>) -> Vec<Option<Seen<'b>>> {
    values.clear();
    values.into_iter().map(|_| None).collect()
}

/// `texts`: where those go that are looked for in the message all at once; `None`: each is looked for alone.
fn node(expr: &Expr, fields: &mut Vec<FieldName>, mut texts: Option<&mut Vec<Box<[u8]>>>) -> Node {
    match expr {
        Expr::All(all) => Node::All(all.iter().map(|e| node(e, fields, texts.as_deref_mut())).collect()),
        Expr::Any(any) => {
            // What is asked of the message is asked once, and last: it is the longest to look through.
            let (mut nodes, mut messages) = (Vec::new(), Vec::new());
            for expr in any {
                match node(expr, fields, texts.as_deref_mut()) {
                    Node::Message(texts) => messages.extend_from_slice(&texts),
                    other => nodes.push(other),
                }
            }
            if !messages.is_empty() {
                nodes.push(Node::Message(messages.into()));
            }
            Node::Any(nodes)
        }
        Expr::Not(inner) => Node::Not(Box::new(node(inner, fields, texts))),
        Expr::Test { field, op: Op::Contains(text) } if field == "message" && texts.is_some() => {
            let text: Box<[u8]> = text.as_bytes().into();
            texts.into_iter().for_each(|texts| texts.push(text.clone()));
            Node::Message([text].into())
        }
        Expr::Test { field, op } => {
            let name = match Derived::from_name(field) {
                Some(derived) => FieldName::Derived(derived),
                None => FieldName::Body(Name::of(field.strip_prefix("body.").unwrap_or(field))),
            };
            let place = fields.iter().position(|f| *f == name).unwrap_or_else(|| {
                fields.push(name);
                fields.len() - 1
            });
            Node::Test(place, Arc::new(test(op)))
        }
    }
}

fn test(op: &Op) -> Test {
    match op {
        Op::Eq(literal) => Test::Equal(operand(literal)),
        Op::Ne(literal) => Test::NotEqual(operand(literal)),
        Op::Gt(literal) => Test::Compare(Order::Greater, operand(literal)),
        Op::Gte(literal) => Test::Compare(Order::AtLeast, operand(literal)),
        Op::Lt(literal) => Test::Compare(Order::Less, operand(literal)),
        Op::Lte(literal) => Test::Compare(Order::AtMost, operand(literal)),
        Op::In(literals) => Test::In(literals.iter().map(operand).collect()),
        Op::Contains(text) => {
            let finder = Finder::new(text).into_owned();
            Test::Contains(Box::new(Contained { finder, is_plain: is_plain(text.as_bytes()) }))
        }
        Op::StartsWith(text) => Test::StartsWith(text.as_bytes().into()),
        Op::EndsWith(text) => Test::EndsWith(text.as_bytes().into()),
        Op::Regex(pattern) => Test::Regex(pattern.clone()),
        Op::Exists(yes) => Test::Exists(*yes),
    }
}

fn operand(literal: &Literal) -> Operand {
    let (text, null) = match literal {
        Literal::Text(text) => (text.clone(), false),
        Literal::Number(number) => (number.to_string(), false),
        Literal::Bool(yes) => (yes.to_string(), false),
        Literal::Null => (String::new(), true),
    };
    let number = match literal {
        Literal::Number(number) => Some(*number),
        _ => number_of(text.as_bytes()),
    };
    Operand { number, level: Level::from_name(text.as_bytes()), null, text: text.into_bytes().into() }
}

// === impl Reading ===

impl<'a> Reading<'_, 'a> {
    fn tell(&mut self, place: usize, hit: &mut impl FnMut(usize)) {
        if self.program.rules.get(place).is_some_and(|rule| self.holds(rule)) {
            hit(place);
        }
    }

    fn holds(&mut self, node: &Node) -> bool {
        match node {
            Node::All(all) => all.iter().all(|n| self.holds(n)),
            Node::Any(any) => any.iter().any(|n| self.holds(n)),
            Node::Not(inner) => !self.holds(inner),
            Node::Message(texts) => match self.message() {
                Some(message) => texts.iter().any(|text| memchr::memmem::find(message, text).is_some()),
                None => false,
            },
            Node::Test(place, test) => {
                if let Some(None) = self.values.get(*place) {
                    self.see(*place);
                }
                matches!(self.values.get(*place), Some(Some(seen)) if holds(test, seen))
            }
        }
    }

    /// Reads a field. (Apart, so that going through the rules needs no room for it.)
    #[inline(never)]
    fn see(&mut self, place: usize) {
        let mut level = None;
        let value = match self.program.fields.get(place) {
            Some(FieldName::Derived(Derived::Level)) => {
                let of_record = self.record.level();
                level = Some(of_record);
                Some(of_level(of_record))
            }
            Some(FieldName::Derived(derived)) => self.record.derived(*derived),
            Some(FieldName::Body(name)) => self.record.body_named(name),
            None => None,
        };
        if let Some(slot) = self.values.get_mut(place) {
            *slot = Some(Seen::of(value, level));
        }
    }

    /// The message, if it holds any of the program's texts.
    #[inline(never)]
    fn message(&mut self) -> Option<&[u8]> {
        let Program { needles, are_plain, .. } = self.program;
        let record = self.record;
        let message = self.message.get_or_insert_with(|| {
            let message = match record.message()? {
                Value::Text(text) => match text.searchable().filter(|_| *are_plain) {
                    Some(raw) => Cow::Borrowed(raw),
                    None => text.decoded(),
                },
                Value::Object(span) | Value::Array(span) => Cow::Borrowed(span.raw),
                _ => return None,
            };
            needles.as_ref().is_none_or(|all| all.is_match(message.as_ref())).then_some(message)
        });
        message.as_deref()
    }
}

impl<'a> Seen<'a> {
    fn of(value: Option<Value<'a>>, level: Option<Level>) -> Seen<'a> {
        let value = value.filter(|v| *v != Value::Null);
        let number = match &value {
            Some(Value::Number(raw)) => number_of(raw),
            Some(Value::Text(text)) => number_of(text.raw()),
            Some(Value::Int(n)) => Some(*n as f64),
            _ => None,
        };
        Seen { value, number, level }
    }
}

fn of_level(level: Level) -> Value<'static> {
    Value::Text(Text::plain(level.as_str().as_bytes()))
}

fn holds(test: &Test, seen: &Seen<'_>) -> bool {
    let Some(value) = &seen.value else {
        return match test {
            Test::Exists(wanted) => !wanted,
            Test::Equal(operand) => operand.null,
            _ => false,
        };
    };
    match test {
        Test::Exists(wanted) => *wanted,
        Test::Equal(operand) => equal(operand, value, seen),
        Test::NotEqual(operand) => !equal(operand, value, seen),
        Test::In(operands) => operands.iter().any(|o| equal(o, value, seen)),
        Test::Compare(order, operand) => match (seen.level, operand.level) {
            (Some(seen), Some(wanted)) => in_order(*order, seen.partial_cmp(&wanted)),
            (Some(_), None) => false,
            _ => match (seen.number, operand.number) {
                (Some(seen), Some(wanted)) => in_order(*order, seen.partial_cmp(&wanted)),
                _ => false,
            },
        },
        Test::Contains(text) => match value {
            Value::Text(of) if text.is_plain && of.searchable().is_some() => {
                of.searchable().is_some_and(|raw| text.finder.find(raw).is_some())
            }
            _ => text.finder.find(&bytes(value)).is_some(),
        },
        Test::StartsWith(text) => bytes(value).starts_with(text),
        Test::EndsWith(text) => bytes(value).ends_with(text),
        Test::Regex(pattern) => pattern.is_match(&bytes(value)),
    }
}

fn in_order(order: Order, found: Option<std::cmp::Ordering>) -> bool {
    match order {
        Order::Greater => found.is_some_and(|o| o.is_gt()),
        Order::AtLeast => found.is_some_and(|o| o.is_ge()),
        Order::Less => found.is_some_and(|o| o.is_lt()),
        Order::AtMost => found.is_some_and(|o| o.is_le()),
    }
}

/// Numbers and numeric strings compare as numbers, levels as levels whatever their dialect, the rest as text.
fn equal(operand: &Operand, value: &Value<'_>, seen: &Seen<'_>) -> bool {
    match (seen.level, operand.level, seen.number, operand.number) {
        (Some(seen), Some(wanted), ..) => seen == wanted,
        (_, _, Some(seen), Some(wanted)) => seen == wanted,
        _ => !operand.null && *bytes(value) == *operand.text,
    }
}

/// The value as text is searched: a nested one as it stands.
fn bytes<'a>(value: &Value<'a>) -> Cow<'a, [u8]> {
    match value {
        Value::Text(text) => text.decoded(),
        Value::Number(raw) => Cow::Borrowed(raw),
        Value::Int(n) => Cow::Owned(n.to_string().into_bytes()),
        Value::Bool(true) => Cow::Borrowed(b"true"),
        Value::Bool(false) => Cow::Borrowed(b"false"),
        Value::Null => Cow::Borrowed(b""),
        Value::Object(span) | Value::Array(span) => Cow::Borrowed(span.raw),
    }
}
