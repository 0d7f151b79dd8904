use std::sync::Mutex;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::answer::{self, ExchangeError, OauthCode};
use super::super::exchange::Failure;
use super::super::grant::{Audience, Grant, Scopes, SelfSigned};
use super::super::state::Token;
use super::super::test_endpoint::{Answer, Endpoint};
use super::super::testing::{account, key_file, pem, transport, wanted};
use super::*;

const URI: &str = "https://a.example/token";

/// What an exchange comes to.
#[derive(Clone, Copy)]
enum Step {
    /// A token that lives so many seconds.
    Token(u64),
    Fails(ExchangeError),
    /// It fails, and the endpoint wants so many seconds of rest.
    Busy(u64),
    Hangs,
}

/// Tokens on a clock that only runs while everybody waits, with exchanges that go as a script says.
struct Scene {
    tokens: Tokens,
    start: Instant,
    /// The seconds at which an exchange began.
    asked: Arc<Mutex<Vec<u64>>>,
}

fn scene(chance: f64, script: impl Fn(usize) -> Step + Send + Sync + 'static) -> Scene {
    let start = Instant::now();
    let asked: Arc<Mutex<Vec<u64>>> = Arc::default();
    let log = asked.clone();
    let minter: Minter = Arc::new(move |_, _, now| {
        let mut log = log.lock().unwrap();
        log.push(start.elapsed().as_secs());
        let (n, step) = (log.len() - 1, script(log.len() - 1));
        Box::pin(async move { play(n, step, now).await })
    });
    Scene { tokens: Tokens::minted_by(minter, ambient(start, chance)), start, asked }
}

fn ambient(start: Instant, chance: f64) -> Ambient {
    let epoch = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    Ambient::new(move || epoch + start.elapsed(), move || chance)
}

async fn play(n: usize, step: Step, now: OffsetDateTime) -> Result<Token, Failure> {
    match step {
        Step::Token(life) => {
            let token = answer::token(format!("ya29.canary-{n}").as_bytes(), now + Duration::from_secs(life));
            Ok(token?)
        }
        Step::Fails(cause) => Err(cause.into()),
        Step::Busy(rest) => {
            Err(Failure { cause: ExchangeError::Status(503), retry_after: Some(Duration::from_secs(rest)) })
        }
        Step::Hangs => std::future::pending().await,
    }
}

impl Scene {
    /// Lets time pass to just after that second.
    async fn at(&self, second: u64) {
        sleep_until(self.start + Duration::from_secs(second) + Duration::from_millis(500)).await;
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }

    fn state(&self) -> Arc<TokenState> {
        self.tokens.snapshot().get(&key("gcp")).expect("it is wanted").clone()
    }

    /// The token of [`key`] `gcp`.
    fn token(&self) -> Option<String> {
        self.state().token.as_ref().map(text)
    }
}

fn text(token: &Token) -> String {
    String::from_utf8(token.value.expose().to_vec()).unwrap()
}

fn key(secret: &str) -> TokenKey {
    with_grant(secret, Grant::AccessToken(Scopes::default()))
}

fn with_grant(secret: &str, grant: Grant) -> TokenKey {
    let [namespace, secret, key] = ["default", secret, "token"].map(str::to_owned);
    TokenKey { namespace, secret, key, grant }
}

fn one() -> BTreeMap<TokenKey, Wanted> {
    [(key("gcp"), wanted("one", URI))].into()
}

fn canary(n: usize) -> Option<String> {
    Some(format!("ya29.canary-{n}"))
}

const REFUSED: ExchangeError = ExchangeError::Refused(OauthCode::InvalidGrant);

#[tokio::test(start_paused = true)]
async fn a_token_is_minted_at_once_and_renewed_at_three_quarters_of_its_life() {
    for (chance, expected) in [(0.5, [0, 2700, 5400]), (0.0, [0, 2520, 5040]), (1.0, [0, 2880, 5760])] {
        let mut scene = scene(chance, |_| Step::Token(3600));
        scene.tokens.want(one());
        let first = scene.state();
        assert!(first.token.is_none() && first.failures == 0 && first.last_error.is_none(), "not minted yet");
        scene.at(1).await;
        assert_eq!(scene.token(), canary(0));
        let state = scene.state();
        assert_eq!(state.token.as_ref().unwrap().expires_at - state.minted_at.unwrap(), time::Duration::HOUR);
        let until_renewal = state.next_attempt.unwrap() - state.minted_at.unwrap();
        assert_eq!(until_renewal.whole_seconds(), expected[1] as i64);
        scene.at(5800).await;
        assert_eq!(scene.asked(), expected);
        assert_eq!(scene.token(), canary(2));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_ever_more_slowly_and_a_success_forgets_them() {
    let script = |n| if n < 4 { Step::Fails(ExchangeError::Status(500)) } else { Step::Token(3600) };
    let mut scene = scene(0.0, script);
    scene.tokens.want(one());
    for (second, failures) in [(0, 1), (1, 2), (3, 3), (7, 4)] {
        scene.at(second).await;
        let state = scene.state();
        assert_eq!((state.failures, state.last_error), (failures, Some(ExchangeError::Status(500))));
        assert!(state.token.is_none() && state.minted_at.is_none());
    }
    scene.at(15).await;
    assert_eq!(scene.asked(), [0, 1, 3, 7, 15]);
    let state = scene.state();
    assert_eq!((state.failures, state.last_error), (0, None));
    assert_eq!(scene.token(), canary(4));
    assert_eq!((scene.tokens.attempts().succeeded(), scene.tokens.attempts().failed()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_refused_grant_is_tried_again_too_at_last_every_five_minutes() {
    let mut scene = scene(1.0, |_| Step::Fails(REFUSED));
    scene.tokens.want(one());
    scene.at(3600).await;
    let asked = scene.asked();
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] <= 2 && pauses.is_sorted(), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&300));
    assert_eq!(scene.state().failures as usize, asked.len());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_wants_rest_gets_it_up_to_five_minutes() {
    let mut scene = scene(0.0, |n| Step::Busy([30, 7200][n.min(1)]));
    scene.tokens.want(one());
    scene.at(400).await;
    assert_eq!(scene.asked(), [0, 30, 330]);
}

#[tokio::test(start_paused = true)]
async fn without_a_new_token_the_old_one_is_served_to_its_end_and_then_none() {
    let mut scene =
        scene(0.5, |n| if n == 0 { Step::Token(3600) } else { Step::Fails(ExchangeError::Unreachable) });
    scene.tokens.want(one());
    scene.at(3598).await;
    assert!(scene.state().failures > 5);
    assert_eq!(scene.token(), canary(0));
    scene.at(3600).await;
    let state = scene.state();
    assert!(state.token.is_none() && state.minted_at.is_some());
    assert_eq!(state.last_error, Some(ExchangeError::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_also_while_its_renewal_hangs_and_that_is_announced() {
    let mut scene = scene(0.5, |n| if n == 0 { Step::Token(3600) } else { Step::Hangs });
    scene.tokens.want(one());
    scene.at(3000).await;
    let mut snapshots = scene.tokens.subscribe();
    snapshots.mark_unchanged();
    snapshots.changed().await.unwrap();
    assert_eq!(scene.start.elapsed().as_secs(), 3600);
    assert!(snapshots.borrow()[&key("gcp")].token.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_second_is_not_renewed_each_second() {
    let mut scene = scene(0.5, |_| Step::Token(1));
    scene.tokens.want(one());
    scene.at(35).await;
    assert_eq!(scene.asked(), [0, 10, 20, 30]);
    assert_eq!(scene.token(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_again_keeps_its_token_and_its_schedule() {
    let mut scene = scene(0.5, |_| Step::Token(3600));
    scene.tokens.want(one());
    scene.at(1000).await;
    let mut snapshots = scene.tokens.subscribe();
    snapshots.mark_unchanged();
    scene.tokens.want(one());
    assert!(!snapshots.has_changed().unwrap(), "nothing to announce");
    assert_eq!(scene.token(), canary(0));
    scene.at(2800).await;
    assert_eq!(scene.asked(), [0, 2700]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_wanted_is_gone_at_once_and_never_asked_for_again() {
    let mut scene = scene(0.5, |_| Step::Token(3600));
    let two = [("gcp", "one"), ("second", "other")].map(|(secret, file)| (key(secret), wanted(file, URI)));
    scene.tokens.want(two.into());
    scene.at(10).await;
    assert_eq!(scene.tokens.snapshot().len(), 2);
    let mut snapshots = scene.tokens.subscribe();
    snapshots.mark_unchanged();
    scene.tokens.want(one());
    assert!(snapshots.has_changed().unwrap());
    assert_eq!(scene.tokens.snapshot().keys().collect::<Vec<_>>(), [&key("gcp")]);
    scene.tokens.want(BTreeMap::new());
    scene.at(10_000).await;
    assert!(scene.tokens.snapshot().is_empty());
    assert_eq!(scene.asked(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn another_key_of_the_account_is_used_at_once_and_the_token_stays_until_there_is_a_new_one() {
    let mut scene = scene(0.0, |n| if n == 1 { Step::Fails(REFUSED) } else { Step::Token(3600) });
    scene.tokens.want(one());
    scene.at(100).await;
    scene.tokens.want([(key("gcp"), wanted("other", URI))].into());
    assert_eq!(scene.token(), canary(0));
    scene.at(100).await;
    sleep(Duration::from_millis(1)).await;
    let state = scene.state();
    assert_eq!((state.failures, state.last_error), (1, Some(REFUSED)));
    assert_eq!(scene.token(), canary(0));
    scene.at(102).await;
    assert_eq!((scene.token(), scene.asked()), (canary(2), vec![0, 100, 101]));
    scene.at(2610).await;
    assert_eq!(scene.asked(), [0, 100, 101], "the first key's schedule is over");
}

#[tokio::test(start_paused = true)]
async fn other_roots_are_used_at_once_and_the_token_stays() {
    let mut scene = scene(0.0, |_| Step::Token(3600));
    scene.tokens.want(one());
    scene.at(100).await;
    let root = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap().cert.pem();
    let wanted = Wanted { account: account("one", URI), transport: transport(Some(&root)) };
    scene.tokens.want([(key("gcp"), wanted)].into());
    assert_eq!(scene.token(), canary(0));
    scene.at(101).await;
    assert_eq!((scene.token(), scene.asked()), (canary(1), vec![0, 100]));
}

#[tokio::test(start_paused = true)]
async fn another_account_never_serves_the_token_of_the_one_before() {
    let mut scene = scene(0.0, |n| if n == 0 { Step::Token(3600) } else { Step::Hangs });
    scene.tokens.want(one());
    scene.at(100).await;
    scene.tokens.want([(key("gcp"), wanted("one", "https://other.example/"))].into());
    assert_eq!(scene.token(), None);
    assert!(scene.state().minted_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn however_many_read_there_is_one_exchange_for_each_account_and_grant() {
    let mut scene = scene(0.5, |_| Step::Token(3600));
    let scoped = with_grant("gcp", Grant::AccessToken(Scopes::parse(&["a".to_owned()]).unwrap()));
    let wanted: BTreeMap<_, _> = one().into_iter().chain([(scoped, wanted("one", URI))]).collect();
    scene.tokens.want(wanted);
    let readers = (0..50).map(|_| {
        let mut snapshots = scene.tokens.subscribe();
        tokio::spawn(async move {
            let whole = snapshots.wait_for(|all| all.values().all(|state| state.token.is_some())).await;
            whole.map(|all| all.len()).unwrap()
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap(), 2);
    }
    assert_eq!(scene.asked(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_tokens_stops_everything() {
    let mut scene = scene(0.5, |_| Step::Token(3600));
    scene.tokens.want(one());
    scene.at(10).await;
    let mut snapshots = scene.tokens.subscribe();
    snapshots.mark_unchanged();
    let (asked, start) = (scene.asked.clone(), scene.start);
    drop(scene);
    assert!(snapshots.changed().await.is_err(), "closed");
    sleep_until(start + Duration::from_secs(10_000)).await;
    assert_eq!(*asked.lock().unwrap(), [0]);
}

#[tokio::test(start_paused = true)]
async fn self_signed_tokens_keep_the_same_schedule_without_an_endpoint() {
    let start = Instant::now();
    let mut tokens = Tokens::new(ambient(start, 0.5));
    let audience = Audience::parse("https://aiplatform.googleapis.com/").unwrap();
    let key = with_grant("gcp", Grant::SelfSigned(SelfSigned::Audience(audience)));
    tokens.want([(key.clone(), wanted("one", "http://127.0.0.1:1/"))].into());
    let at = async |second| {
        sleep_until(start + Duration::from_secs(second)).await;
        tokens.snapshot()[&key].clone()
    };
    let first = at(2690).await;
    let life = first.token.as_ref().unwrap().expires_at - first.minted_at.unwrap();
    assert_eq!(life, time::Duration::seconds(3590));
    let second = at(2695).await;
    assert!(second.minted_at > first.minted_at);
    assert_ne!(second.token.as_ref().map(text), first.token.as_ref().map(text));
}

/// Everything real: an endpoint over TLS that verifies, the system's clock, a key that is replaced by a wrong one.
#[tokio::test]
async fn tokens_come_from_an_endpoint_and_nothing_secret_shows_on_the_way() {
    let endpoint = Endpoint::start_tls(&["127.0.0.1"], vec![Answer::Verified("one")]).await;
    let mut tokens = Tokens::new(Ambient::system());
    let of = |key| Wanted {
        account: account(key, &endpoint.token_uri()),
        transport: transport(Some(&endpoint.root)),
    };
    let mut snapshots = tokens.subscribe();
    tokens.want([(key("gcp"), of("one"))].into());
    let minted =
        snapshots.wait_for(|all| all.values().any(|state| state.token.is_some())).await.unwrap().clone();
    assert_eq!(minted[&key("gcp")].token.as_ref().map(text), canary(0));
    tokens.want([(key("gcp"), of("other"))].into());
    let failed =
        snapshots.wait_for(|all| all.values().any(|state| state.failures > 0)).await.unwrap().clone();
    let state = &failed[&key("gcp")];
    assert_eq!(state.last_error, Some(REFUSED));
    assert_eq!(state.token.as_ref().map(text), canary(0));

    let shown = format!("{minted:?} {failed:#?} {}", REFUSED);
    let assertion = endpoint.requests()[0].rsplit_once("&assertion=").unwrap().1.to_owned();
    let key_lines = [pem("one"), pem("other")].map(|pem| pem.lines().nth(3).unwrap().to_owned());
    for secret in [key_lines[0].as_str(), &key_lines[1], &assertion[..40], "canary", "Invalid JWT"] {
        assert!(!shown.contains(secret), "a secret shows in {shown}");
    }
    assert!(key_file("one", URI).to_string().contains(&key_lines[0]), "it would be recognised");
}
