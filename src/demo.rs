//! `emberwatch demo`: the real receiver in this process, a made-up fleet that sends to it, two things that go wrong,
//! and what people would read about them. It ends by itself.
//!
//! What it promises: every line goes through the receiver's own `/ingest` over a socket; all figures shown are the
//! receiver's own (`/metrics`, `/watches`, `/triage`), all messages are what it sent to a stand-in for Slack;
//! nothing but loopback is reached, no model is asked, no file is written.
//!
//! Only time is not as it is in use: windows are short, so that their end can be seen.

mod fleet;
mod look;
mod message;
mod row;
pub mod screen;
mod slack;
mod story;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::app::{self, Failure, now_ms};
use crate::config::{Config, Origin, Provider, Slack};
use crate::notify::notice::thousands;
use crate::notify::slack::SlackTarget;
use crate::secret::Secret;
use crate::watch::builtin;
use fleet::{Body, Fleet};
use look::{Look, Picture, Verdict};
use row::{Ink, Row};
use screen::{Moment, Screen};
use slack::Shown;
use story::{TICK_MS, TICKS, TURNS, WINDOW_SECONDS};

/// For the receiver to be ready, and for one answer of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// For its end: it keeps nothing that would be lost.
const STOP: Duration = Duration::from_secs(1);
/// However slow the machine is, the story ends so long after the start,
const LONGEST_STORY: Duration = Duration::from_millis(25_500);
/// and messages that are still on their way then are waited for until here: Slack takes one a second.
const LAST_MESSAGES: Duration = Duration::from_millis(27_500);
/// However the receiver is, all is told by then.
const LONGEST: Duration = Duration::from_secs(60);
/// Pictures over which lines a second are taken.
const RATE_PICTURES: usize = 5;
/// Ticks between two pictures where they are lines that stay.
const PLAIN_EVERY: u64 = 10;
/// More than a story tells.
const MESSAGES: usize = 256;

pub struct Settings {
    pub seed: u64,
    /// Go on listening after the end, so that one can look around.
    pub stay: bool,
}

/// Runs until its end, or until `stop` resolves. False: it did not count what was sent.
pub async fn run(settings: Settings, screen: Screen, stop: impl Future<Output = ()>) -> Result<bool, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Start(error.to_string());
    let began = Instant::now();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| failed(&e))?;
    let channel = listener.local_addr().map_err(|e| failed(&e))?;
    let (told, messages) = mpsc::channel(MESSAGES);
    let token = Secret::new(format!("xoxb-{:016x}", getrandom::u64().map_err(|e| failed(&e))?));
    let slack = tokio::spawn(slack::serve(listener, token.clone(), told));

    let (ending, mut ended) = watch::channel(false);
    let asked = async move { ended.wait_for(|ended| *ended).await.map(drop).unwrap_or_default() };
    let (bound, address) = oneshot::channel();
    let tell = move |address| bound.send(address).unwrap_or_default();
    let mut receiver = tokio::spawn(app::run_telling(config(channel, token), Origin::Defaults, tell, asked));
    let address = bound_to(address, &mut receiver).await?;

    // Nothing that is set for the machine comes between us and ourselves.
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().map_err(|e| failed(&e))?;
    let mut show = Show {
        seed: settings.seed,
        began,
        address,
        look: Look::new(client.clone(), address),
        client,
        screen,
        messages,
        verdicts: 0,
        threads: 0,
        replies: 0,
        counted: VecDeque::new(),
    };
    let told = tokio::select! {
        told = show.tell(settings.stay) => told,
        () = stop => Ok(true),
        ended = &mut receiver => {
            show.screen.end().unwrap_or_default();
            return Err(fallen(ended));
        }
    };
    show.screen.end().unwrap_or_default();
    ending.send_replace(true);
    if let Ok(Ok(Err(failure))) = timeout(STOP, receiver).await {
        return Err(failure);
    }
    slack.abort();
    told
}

type Receiver = JoinHandle<Result<(), Failure>>;

/// Where the receiver listens, or why it does not.
async fn bound_to(address: oneshot::Receiver<SocketAddr>, receiver: &mut Receiver) -> Result<SocketAddr, Failure> {
    match address.await {
        Ok(address) => Ok(address),
        // Whoever would tell is gone: it ends, or has ended.
        Err(_) => Err(fallen(receiver.await)),
    }
}

/// Why the receiver has ended that nobody asked to.
fn fallen(ended: Result<Result<(), Failure>, JoinError>) -> Failure {
    match ended {
        Ok(Err(failure)) => failure,
        Ok(Ok(())) => Failure::Start("the receiver ended in the middle of the demo".to_owned()),
        Err(error) => Failure::Start(format!("the receiver fell: {error}")),
    }
}

/// As a user has it without a configuration, but for time, and for what would leave this process.
fn config(slack: SocketAddr, token: Secret) -> Config {
    let mut config = Config::default();
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.server.drain_seconds = 1;
    config.store.path = None;
    config.notify.alerts_path = None;
    config.investigation.folder = None;
    config.triage.provider = Provider::Builtin;
    config.triage.batch_seconds = 1;
    config.escalation.settle_seconds = 1;
    config.slack = Some(Slack {
        target: SlackTarget::Bot { token, channel: "#alerts".to_owned(), api_url: format!("http://{slack}/api") },
    });
    config.watches = builtin::rules();
    config.watches.iter_mut().for_each(|rule| rule.window_seconds = WINDOW_SECONDS);
    config
}

struct Show {
    seed: u64,
    began: Instant,
    address: SocketAddr,
    client: Client,
    look: Look,
    screen: Screen,
    messages: mpsc::Receiver<Shown>,
    /// Verdicts that were shown.
    verdicts: usize,
    threads: u64,
    replies: u64,
    /// Lines of each service, at the last looks.
    counted: VecDeque<(Instant, Picture)>,
}

impl Show {
    async fn tell(&mut self, stay: bool) -> Result<bool, Failure> {
        let told = match timeout(LONGEST, self.story(stay)).await {
            // A pipe that nobody reads any more ends it as Ctrl-C does.
            Ok(told) => told.unwrap_or(true),
            Err(_) => return Err(Failure::Start(format!("the demo was not over after {} s", LONGEST.as_secs()))),
        };
        if stay {
            std::future::pending::<()>().await;
        }
        Ok(told)
    }

    async fn story(&mut self, stay: bool) -> std::io::Result<bool> {
        self.screen.say(opening(self.seed))?;
        self.ready().await;
        let (progress, at) = watch::channel(Progress::default());
        let until = self.began + LONGEST_STORY;
        let fleet = tokio::spawn(send(self.client.clone(), self.address, self.seed, until, progress));
        let mut fleet = EndsWithUs(fleet);
        let mut pictures = interval(Duration::from_millis(TICK_MS as u64));
        pictures.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut turns, mut shown) = (0, None);
        loop {
            pictures.tick().await;
            let now = at.borrow().clone();
            while let Some(turn) = TURNS.get(turns).filter(|turn| turn.tick <= now.tick) {
                self.screen.say([Row::new(), Row::of(Ink::Bold, format!("▶ {}", turn.told))])?;
                turns += 1;
            }
            let late = self.began.elapsed() > LAST_MESSAGES;
            let Some(picture) = self.look.look().await.or_else(|| late.then(Picture::default)) else { continue };
            self.news(&picture)?;
            let every = if self.screen.is_live() { 1 } else { PLAIN_EVERY };
            self.remember(picture.clone());
            if shown != Some(now.tick / every) && now.tick >= every {
                shown = Some(now.tick / every);
                self.show(&now)?;
            }
            let told = picture.messages_waiting == 0 && self.messages.is_empty();
            if fleet.0.is_finished() && told || late {
                break;
            }
        }
        // What was on its way when time was up is counted, too.
        if !fleet.0.is_finished() {
            timeout(STOP, &mut fleet.0).await.map(drop).unwrap_or_default();
        }
        let progress = at.borrow().clone();
        // One that a busy machine spoils says nothing yet.
        let last = match self.look.look().await {
            Some(last) => Some(last),
            None => self.look.look().await,
        };
        if let Some(last) = &last {
            self.news(last)?;
        }
        self.screen.end()?;
        self.screen.say(self.summary(&progress, last.as_ref(), stay))?;
        Ok(is_sound(&progress, last.as_ref()))
    }

    async fn ready(&self) {
        let until = Instant::now() + PATIENCE;
        while self.look.look().await.is_none() && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn remember(&mut self, picture: Picture) {
        self.counted.push_back((Instant::now(), picture));
        if self.counted.len() > RATE_PICTURES + 1 {
            self.counted.pop_front();
        }
    }

    fn show(&mut self, now: &Progress) -> std::io::Result<()> {
        let (Some((from, before)), Some((to, after))) = (self.counted.front(), self.counted.back()) else {
            return Ok(());
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        let mut rates: Vec<(String, u64)> = after
            .services
            .iter()
            .map(|(name, lines)| {
                let more = lines.saturating_sub(before.services.get(name).copied().unwrap_or_default());
                // Of the first picture nobody can say.
                (name.clone(), if seconds > 0.0 { (more as f64 / seconds).round() as u64 } else { 0 })
            })
            .collect();
        rates.sort_by_key(|(name, _)| std::cmp::Reverse(after.services.get(name).copied()));
        let moment = Moment {
            seconds: now.tick as f64 * TICK_MS as f64 / 1000.0,
            of_seconds: TICKS as f64 * TICK_MS as f64 / 1000.0,
            told: story::at(now.tick).map_or("", |turn| turn.told),
            picture: after,
            rates: &rates,
        };
        self.screen.show(&moment)
    }

    /// What triage has said, and what people would read.
    fn news(&mut self, picture: &Picture) -> std::io::Result<()> {
        let columns = self.screen.columns();
        let new = picture.verdicts.get(self.verdicts..).unwrap_or_default();
        self.verdicts = self.verdicts.max(picture.verdicts.len());
        let ignored = new.iter().filter(|verdict| verdict.outcome == "ignore").count();
        let mut rows = Vec::new();
        if ignored > 0 {
            let s = if ignored == 1 { "" } else { "s" };
            let said = format!("{ignored} new kind{s} of lines: ordinary, ignored");
            rows.push(Row::of(Ink::Green, "  triage  ").and(Ink::Dim, said));
        }
        for verdict in new.iter().filter(|verdict| verdict.outcome != "ignore") {
            rows.extend(said_of(verdict, columns));
        }
        while let Ok(message) = self.messages.try_recv() {
            if message.reply {
                self.replies += 1;
            } else {
                self.threads += 1;
            }
            rows.extend(message::rows(&message, columns));
        }
        if rows.is_empty() { Ok(()) } else { self.screen.say(rows) }
    }

    /// `last`: `None`, the receiver did not answer any more.
    fn summary(&self, progress: &Progress, last: Option<&Picture>, stay: bool) -> Vec<Row> {
        let head = format!("That was all, in {:.1} s (--seed {}).", self.began.elapsed().as_secs_f64(), self.seed);
        let mut rows = vec![Row::new(), Row::of(Ink::Bold, head)];
        match last {
            Some(last) => self.figures(progress, last, &mut rows),
            None => {
                let sent = thousands(progress.sent);
                let told = format!("{sent} lines were sent; what was counted cannot be told: the receiver is silent.");
                rows.extend(Row::of(Ink::Yellow, told).wrapped(78, 2));
            }
        }
        if !is_sound(progress, last) {
            let told = "What was counted is not what was sent: that is a fault of ours, please report it.";
            rows.push(Row::of(Ink::Red, told));
        }
        if progress.cut_short {
            rows.extend(Row::of(Ink::Yellow, "This machine is busy: the story was cut short.").wrapped(78, 2));
        }
        rows.push(Row::new());
        self.next(stay, &mut rows);
        rows
    }

    fn figures(&self, progress: &Progress, last: &Picture, rows: &mut Vec<Row>) {
        let outcomes: Vec<String> = last
            .outcomes
            .iter()
            .filter(|(_, lines)| **lines > 0)
            .map(|(outcome, lines)| format!("{} {outcome}", thousands(*lines)))
            .collect();
        let judged = |outcome: &str| last.verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
        let (ignored, watched) = (judged("ignore"), judged("watch") + judged("investigate"));
        let others = last.verdicts.len() - ignored - watched;
        let row =
            |name: &str, text: String| Row::of(Ink::Dim, format!("  {name:<9}")).and(Ink::Plain, text).wrapped(78, 11);
        rows.extend(row(
            "lines",
            format!("{} sent, {} counted: {}", thousands(progress.sent), thousands(last.lines()), outcomes.join(", ")),
        ));
        rows.extend(row(
            "kinds",
            format!(
                "{} judged once each: {ignored} ignored, {watched} watched from then on, {others} counted already",
                last.verdicts.len()
            ),
        ));
        let messages = self.threads + self.replies;
        rows.extend(row(
            "messages",
            format!("{messages} in Slack: {} in the channel, {} in their threads", self.threads, self.replies),
        ));
        rows.extend(row(
            "bytes",
            format!("{} through /ingest; none written to disk, none sent beyond this machine", thousands(last.bytes)),
        ));
        let mut firing: Vec<&str> = last.bars.iter().filter(|bar| bar.firing).map(|bar| bar.label.as_str()).collect();
        firing.dedup();
        if !firing.is_empty() {
            let said = format!("{} still: made by triage, with windows of minutes", firing.join(", "));
            rows.extend(row("firing", said));
        }
    }

    fn next(&self, stay: bool, rows: &mut Vec<Row>) {
        if stay {
            let address = self.address;
            rows.push(Row::of(Ink::Bold, format!("It still listens on http://{address} (--stay); Ctrl-C ends it:")));
            rows.push(
                Row::of(Ink::Cyan, format!("  curl {address}/watches"))
                    .and(Ink::Dim, "     also /triage /status /metrics"),
            );
            return;
        }
        rows.push(Row::of(Ink::Bold, "Next, with your own lines:"));
        rows.push(
            Row::of(Ink::Cyan, "  emberwatch replay FILE")
                .and(Ink::Dim, "    what it would have said of a log you have"),
        );
        rows.push(
            Row::of(Ink::Cyan, "  emberwatch")
                .and(Ink::Dim, "                receive on 127.0.0.1:8080; docs/fluent-bit.md"),
        );
    }
}

/// As far as anybody can say, all that was sent was counted.
fn is_sound(progress: &Progress, last: Option<&Picture>) -> bool {
    progress.refused == 0 && last.is_none_or(|last| last.lines() == progress.sent)
}

fn opening(seed: u64) -> Vec<Row> {
    vec![
        Row::of(Ink::Bold, "Emberwatch, on a fleet that is made up: 23 s, nothing leaves this machine."),
        Row::of(
            Ink::Dim,
            format!("Built-in watches, with windows of {WINDOW_SECONDS} s, not 60: you see their end (--seed {seed})."),
        ),
    ]
}

fn said_of(verdict: &Verdict, columns: usize) -> Vec<Row> {
    let head = format!("{}: ", verdict.service);
    let (ink, said) = match (verdict.outcome.as_str(), &verdict.label) {
        ("watch", Some(label)) => (Ink::Yellow, format!("now watched as {label}")),
        ("investigate", Some(label)) => (Ink::Red, format!("watched, and to be looked into: {label}")),
        ("counted" | "covered" | "duplicate", _) => (Ink::Dim, "a watch counts it already".to_owned()),
        (outcome, _) => (Ink::Dim, outcome.replace('_', " ")),
    };
    let room = columns.saturating_sub(14 + head.len());
    let template = Row::of(Ink::Cyan, verdict.template.lines().next().unwrap_or_default()).cut(room);
    vec![
        Row::of(Ink::Green, "  triage  ").and(Ink::Plain, head).then(template),
        Row::of(Ink::Plain, "          → ").and(ink, said),
    ]
}

/// How far the fleet is.
#[derive(Clone, Debug, Default)]
struct Progress {
    tick: u64,
    /// Lines that were answered 204.
    sent: u64,
    refused: u64,
    cut_short: bool,
}

/// Sends what each tick brings, one body for each service.
async fn send(client: Client, address: SocketAddr, seed: u64, until: Instant, progress: watch::Sender<Progress>) {
    let mut fleet = Fleet::new(seed);
    let mut ticks = interval(Duration::from_millis(TICK_MS as u64));
    for tick in 0..TICKS {
        ticks.tick().await;
        if Instant::now() > until {
            progress.send_modify(|progress| progress.cut_short = true);
            return;
        }
        let trouble = story::at(tick).map_or(story::Trouble::None, |turn| turn.trouble);
        // Each service has a sender of its own.
        let mut sending = JoinSet::new();
        for Body { tag, text, lines } in fleet.tick(trouble, now_ms()) {
            let request = client.post(format!("http://{address}/ingest")).header("X-Tag", tag).body(text);
            sending.spawn(async move {
                let answer = request.send().await;
                (lines, answer.is_ok_and(|answer| answer.status() == reqwest::StatusCode::NO_CONTENT))
            });
        }
        while let Some(sent) = sending.join_next().await {
            let Ok((lines, taken)) = sent else { continue };
            progress.send_modify(|progress| if taken { progress.sent += lines } else { progress.refused += lines });
        }
        progress.send_modify(|progress| progress.tick = tick + 1);
    }
}

struct EndsWithUs(JoinHandle<()>);

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receiver_that_fails_before_it_is_bound_says_why() {
        let (bound, address) = oneshot::channel();
        let mut receiver: Receiver = tokio::spawn(async move {
            drop(bound);
            Err(Failure::Writer)
        });
        let failure = bound_to(address, &mut receiver).await.expect_err("it is not bound");
        assert_eq!(failure.to_string(), Failure::Writer.to_string());
    }

    /// At an address where nobody listens.
    async fn show() -> Show {
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = nobody.local_addr().expect("an address");
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Show {
            seed: 1,
            began: Instant::now(),
            address,
            look: Look::new(client.clone(), address),
            client,
            screen: Screen::new(Box::new(std::io::sink()), false, || None),
            messages: mpsc::channel(1).1,
            verdicts: 0,
            threads: 0,
            replies: 0,
            counted: VecDeque::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_answers_the_story_ends_all_the_same() {
        let mut show = show().await;
        // Nothing was taken: not what was promised, or not told in time.
        assert!(!matches!(show.tell(false).await, Ok(true)));
        assert!(show.began.elapsed() <= LONGEST + PATIENCE, "{:?}", show.began.elapsed());
    }

    #[tokio::test]
    async fn a_last_look_that_fails_is_no_fault_of_ours_and_a_line_that_is_missing_is() {
        let show = show().await;
        let progress = Progress { sent: 1_234, ..Progress::default() };
        let text = |last: Option<&Picture>| -> String {
            show.summary(&progress, last, false).iter().map(|row| row.paint(false) + "\n").collect()
        };
        let silent = text(None);
        assert!(silent.contains("1,234 lines were sent; what was counted cannot be told"), "{silent}");
        assert!(!silent.contains("fault of ours") && is_sound(&progress, None), "{silent}");
        let fewer = Picture { outcomes: [("matched".to_owned(), 1_233)].into(), ..Picture::default() };
        assert!(text(Some(&fewer)).contains("a fault of ours") && !is_sound(&progress, Some(&fewer)));
    }
}
