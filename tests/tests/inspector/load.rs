//! As many requests as are kept, and more.

use std::time::{Duration, Instant};

use harness::client::Http;
use harness::client::Request;
use harness::gateway::HOST;
use harness::scenario::PLACEHOLDER;

use super::browser::Browser;
use super::{Stage, rows};

/// What the inspector keeps at most.
const MOST: usize = 5_000;
/// How many come beyond.
const MORE: usize = 40;

/// Resident memory of `keyward` itself, in MiB.
fn resident(stage: &Stage) -> u64 {
    let processes = stage.gateway.processes();
    let (id, _) = processes
        .iter()
        .find(|(_, line)| line.contains(" dev ") && !line.contains("tethered"))
        .expect("keyward dev");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[tokio::test]
async fn five_thousand_requests_are_listed_filtered_and_scrolled_in_bounded_memory() {
    let stage = Stage::start().await;
    let before = resident(&stage);
    let mut browser = Browser::open(&stage.url).await;
    let mut connection = stage.gateway.agent(Http::Two, HOST).open_http2().await.expect("a connection");
    for number in 1..=MOST + MORE {
        let path = if number % 100 == 0 { "/v1/hundredth" } else { "/v1/messages" };
        let path = format!("{path}?number={number}");
        let request = Request::messages().header("x-api-key", PLACEHOLDER).path(&path);
        let answer = connection.send(&request).await.expect("an answer");
        assert!(answer.status == 200 || number % 100 == 0, "{answer:?}");
    }
    rows(&mut browser, MOST).await;
    browser.until("document.querySelector('#counts').textContent.includes('40 older ones dropped')").await;
    let drawn = "document.querySelectorAll('.row').length";
    let few = browser.value(drawn).await.as_u64().expect("a number");
    assert!(few > 10 && few < 100, "{few} rows are in the document");
    // It follows what comes.
    browser.until("document.querySelector('#rows').innerText.includes('number=5040')").await;

    // A frame while it scrolls through all of them, and a filter while one types.
    let scrolling = "(async () => {
        const scroller = document.querySelector('#scroller');
        const times = [];
        for (let step = 0; step <= 60; step += 1) {
            const started = performance.now();
            scroller.scrollTop = scroller.scrollHeight * step / 60;
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            times.push(performance.now() - started);
        }
        times.sort((one, other) => one - other);
        return times[Math.floor(times.length / 2)];
    })()";
    let median = browser.value(scrolling).await.as_f64().expect("milliseconds");
    assert!(median < 100.0, "{median} ms for a frame");
    let started = Instant::now();
    browser.press("/").await;
    browser.type_text("path:hundredth").await;
    rows(&mut browser, 50).await;
    let typed = started.elapsed();
    assert!(typed < Duration::from_secs(10), "{typed:?}");
    browser.press("Escape").await;
    browser.press("Home").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('#request').innerText.includes('number=100')").await;
    assert!(browser.value(drawn).await.as_u64() < Some(100));
    let grown = resident(&stage).saturating_sub(before);
    assert!(grown < 160, "{grown} MiB for {MOST} requests");
    eprintln!("{MOST} requests: {grown} MiB, {median:.1} ms for a frame of scrolling, {typed:?} to filter");

    // A page that is opened late has them all too.
    let mut late = Browser::open(&stage.url).await;
    rows(&mut late, MOST).await;
    late.assert_no_violation().await;
    browser.assert_no_violation().await;
}
