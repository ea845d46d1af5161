//! What a replay counts beside what the program itself counts: lines by service, level and form, and their span.

use std::collections::HashMap;

use crate::ingest::stage::SERVICES_MAX;
use crate::record::format::Format;
use crate::record::level::Level;
use crate::record::text::Text;

/// What one line was found to be. Small: there is one for each line held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    service: u16,
    /// [`Level::ALL`]'s length: it says none.
    level: u8,
    format: u8,
    is_record: bool,
}

impl Seen {
    pub fn of(service: u16, level: Option<Level>, format: Format) -> Seen {
        let level = level.map_or(Level::ALL.len() as u8, |level| level as u8);
        Seen { service, level, format: format as u8, is_record: true }
    }

    /// A line that goes on what others began.
    pub fn rest(service: u16) -> Seen {
        Seen { service, level: u8::MAX, format: Format::Text as u8, is_record: true }
    }

    /// Blank, or no record.
    pub fn blank() -> Seen {
        Seen { service: 0, level: 0, format: 0, is_record: false }
    }
}

/// Lines by level; last those that say none.
pub type Levels = [u64; Level::ALL.len() + 1];

#[derive(Clone, Debug)]
pub struct Service {
    pub cluster: String,
    pub name: String,
    pub lines: u64,
    pub levels: Levels,
    pub formats: [u64; Format::ALL.len()],
    /// Lines of plain text that say no level.
    pub plain: u64,
    pub first_ms: i64,
    pub last_ms: i64,
}

#[derive(Default)]
pub struct Gathered {
    services: Vec<Service>,
    places: HashMap<Vec<u8>, u16>,
    key: Vec<u8>,
    pub levels: Levels,
    /// Of lines that told it, or were given it.
    pub span_ms: Option<(i64, i64)>,
    pub lines: u64,
    /// Lines outside `--since` and `--until`.
    pub outside: u64,
}

impl Gathered {
    /// The place of a service; beyond the bound they share one.
    pub fn service(&mut self, cluster: Option<Text<'_>>, service: Text<'_>) -> u16 {
        self.key.clear();
        self.key.extend_from_slice(cluster.map(|c| c.raw()).unwrap_or_default());
        self.key.push(0);
        self.key.extend_from_slice(service.raw());
        if let Some(place) = self.places.get(&self.key) {
            return *place;
        }
        if self.services.len() > SERVICES_MAX {
            return SERVICES_MAX as u16;
        }
        let is_other = self.services.len() == SERVICES_MAX;
        let (cluster, name) = match is_other {
            true => (String::new(), "other".to_owned()),
            false => (
                cluster.map(|c| c.to_string_lossy().into_owned()).unwrap_or_default(),
                service.to_string_lossy().into_owned(),
            ),
        };
        let place = self.services.len() as u16;
        self.services.push(Service {
            cluster,
            name,
            lines: 0,
            levels: Levels::default(),
            formats: [0; Format::ALL.len()],
            plain: 0,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
        });
        if !is_other {
            self.places.insert(self.key.clone(), place);
        }
        place
    }

    pub fn count(&mut self, seen: Seen, time_ms: i64) {
        self.lines += 1;
        let (first, last) = self.span_ms.unwrap_or((time_ms, time_ms));
        self.span_ms = Some((first.min(time_ms), last.max(time_ms)));
        if !seen.is_record {
            return;
        }
        if let Some(count) = self.levels.get_mut(usize::from(seen.level)) {
            *count += 1;
        }
        let Some(service) = self.services.get_mut(usize::from(seen.service)) else { return };
        service.lines += 1;
        service.first_ms = service.first_ms.min(time_ms);
        service.last_ms = service.last_ms.max(time_ms);
        if let Some(count) = service.levels.get_mut(usize::from(seen.level)) {
            *count += 1;
        }
        let says_none = usize::from(seen.level) == Level::ALL.len();
        service.plain += u64::from(says_none && seen.format == Format::Text as u8);
        if let Some(count) = service.formats.get_mut(usize::from(seen.format)) {
            *count += 1;
        }
    }

    /// Those that have lines, who has most first.
    pub fn services(&self) -> Vec<&Service> {
        let mut all: Vec<&Service> = self.services.iter().filter(|service| service.lines > 0).collect();
        all.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name))));
        all
    }
}
