//! What a server takes of a question, from the most to the least.

use crate::investigate::model::wire::Tools;

/// How the form of the answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Schema,
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    reply: Reply,
    takes_tools: bool,
    /// Tools and a form of the answer in one request.
    takes_both: bool,
    /// It calls the longest answer `max_completion_tokens`.
    is_new: bool,
}

impl Default for Form {
    fn default() -> Form {
        Form { reply: Reply::Schema, takes_tools: true, takes_both: true, is_new: false }
    }
}

impl Form {
    pub(super) fn sends_tools(self, tools: Tools) -> bool {
        match tools {
            Tools::None => false,
            Tools::Offered => self.takes_tools,
            // The form of the answer is worth more by then.
            Tools::Closed => self.takes_tools && self.takes_both,
        }
    }

    /// How this request asks for the form.
    pub(super) fn reply(self, tools: Tools) -> Reply {
        if self.sends_tools(tools) && !self.takes_both { Reply::Text } else { self.reply }
    }

    pub(super) fn limit(self) -> &'static str {
        if self.is_new { "max_completion_tokens" } else { "max_tokens" }
    }

    /// What to try after such a request was refused with these words; `None`: there is no lesser one.
    pub(super) fn lesser(self, tools: Tools, said: &str) -> Option<Form> {
        if !self.is_new && said.contains("max_completion_tokens") {
            return Some(Form { is_new: true, ..self });
        }
        if self.sends_tools(tools) {
            return Some(match self.takes_both && self.reply != Reply::Text {
                true => Form { takes_both: false, ..self },
                // What it said of both together was about the tools.
                false => Form { takes_tools: false, takes_both: true, ..self },
            });
        }
        match self.reply {
            Reply::Schema => Some(Form { reply: Reply::Json, ..self }),
            Reply::Json => Some(Form { reply: Reply::Text, ..self }),
            Reply::Text => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_gives_up_one_thing_and_the_last_form_is_plain() {
        let mut form = Form::default();
        let mut seen = Vec::new();
        loop {
            let tools = Tools::Offered;
            seen.push((form.reply(tools), form.sends_tools(tools)));
            let Some(lesser) = form.lesser(tools, "no") else { break };
            form = lesser;
        }
        let wanted = [
            (Reply::Schema, true),
            (Reply::Text, true),
            (Reply::Schema, false),
            (Reply::Json, false),
            (Reply::Text, false),
        ];
        assert_eq!(seen, wanted);
        let new = Form::default().lesser(Tools::None, "use 'max_completion_tokens' instead").expect("another");
        assert_eq!((new.limit(), new.reply(Tools::None)), ("max_completion_tokens", Reply::Schema));
    }

    #[test]
    fn where_both_are_not_taken_the_last_turn_has_the_form_and_no_tools() {
        let form = Form::default().lesser(Tools::Offered, "json mode cannot be combined with tools").expect("another");
        assert_eq!((form.reply(Tools::Offered), form.sends_tools(Tools::Offered)), (Reply::Text, true));
        assert_eq!((form.reply(Tools::Closed), form.sends_tools(Tools::Closed)), (Reply::Schema, false));
    }
}
