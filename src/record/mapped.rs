//! A record's service and cluster under the operator's `[[record.service_map]]`.
//!
//! Costs nothing where there is none. Otherwise each mapping is one comparison: a place is looked up once for all
//! mappings in a row that speak of it.

use super::naming::{Mapping, Source};
use super::text::Text;
use super::{Derived, Record};

impl<'a> Record<'a> {
    /// The first mapping that fits.
    pub(super) fn mapping(&self) -> Option<&'a Mapping> {
        let map = self.delivery.naming?.map.as_slice();
        let mut held: Option<(&Source, Option<Text<'a>>)> = None;
        map.iter().find(|mapping| {
            let said = match held {
                Some((place, said)) if *place == mapping.field => said,
                _ => self.place_of(&mapping.field),
            };
            held = Some((&mapping.field, said));
            said.is_some_and(|said| mapping.from.fits(&said.decoded()))
        })
    }

    fn place_of(&self, source: &Source) -> Option<Text<'a>> {
        match source {
            Source::Service => Some(self.service_unmapped()),
            Source::Cluster => self.cluster_unmapped(),
            Source::Tag => self.delivery.tag.map(Text::plain),
            Source::Path(path) => self.named(std::slice::from_ref(path)),
            Source::Derived(derived) => self.derived_text(*derived),
        }
    }

    /// Of the places that the envelope tells.
    fn derived_text(&self, name: Derived) -> Option<Text<'a>> {
        match self.derived(name)? {
            super::json::Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
