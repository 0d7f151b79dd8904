//! The page at work: rows as they come, filters, one request opened, the keyboard, colours, objects and usage.

use harness::client::Request;
use harness::gateway::HOST;
use harness::provider::Echo;
use harness::scenario::KEY;

use super::browser::Browser;
use super::{Stage, message, rows, streamed};

const PANE: &str = "document.querySelector('#request').innerText";

/// Opens the request of this row with the keyboard, and waits until it is there.
async fn open(browser: &mut Browser, number: usize) {
    browser.press("Home").await;
    for _ in 1..number {
        browser.press("j").await;
    }
    browser.press("Enter").await;
    // Where it stands in the list, not its number: workers of an Envoy tell by themselves.
    let place = "document.querySelector('.row[aria-selected=true]')";
    browser.until(&format!("{place}?.ariaRowIndex === '{}'", number + 1)).await;
    browser.until(&format!("document.querySelector('#request').dataset.id === {place}.dataset.id")).await;
    browser.until("document.querySelector('#request table')").await;
}

#[tokio::test]
async fn requests_appear_as_they_pass_and_open_with_everything_but_the_key() {
    let stage = Stage::start().await;
    let mut browser = Browser::open(&stage.url).await;
    browser.until("!document.querySelector('#empty').hidden").await;
    // A provider that gives the key away, and agents that send one of their own.
    stage.provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
    assert_eq!(stage.send(&message()).await, 200);
    rows(&mut browser, 1).await;
    // One after another: each worker tells what it has at times of its own.
    assert_eq!(stage.send(&streamed()).await, 200);
    rows(&mut browser, 2).await;
    assert_eq!(stage.send(&message().path("/v1/messages?beta=true")).await, 200);
    rows(&mut browser, 3).await;
    stage.provider.behave(|behaviour| {
        behaviour.echo.clear();
        behaviour.status = Some(401);
    });
    let own = Request::new("GET", HOST, "/v1/unknown").header("authorization", "Bearer own-0123456789abcdef");
    assert_eq!(stage.send(&own).await, 401);
    rows(&mut browser, 4).await;
    let list = browser.text("document.querySelector('#rows').innerText").await;
    for part in ["POST", HOST, "/v1/messages", "200", "injected", "12 / 6", "401", "claude"] {
        assert!(list.contains(part), "{part}: {list}");
    }

    open(&mut browser, 1).await;
    let pane = browser.text(PANE).await;
    for part in
        ["[redacted]", "set by the gateway", "Body of the request", "input_tokens", "keyward.credential"]
    {
        assert!(pane.contains(part), "{part}: {pane}");
    }
    let changed = "[...document.querySelectorAll('#request [data-change=replaced]')].map((row) => row.innerText).join()";
    let changed = browser.text(changed).await;
    assert!(changed.starts_with("x-api-key") && changed.matches("[redacted]").count() == 2, "{changed}");

    open(&mut browser, 2).await;
    let events =
        "[...document.querySelectorAll('#request .event > .key')].map((name) => name.textContent).join()";
    let events = browser.text(events).await;
    assert!(events.starts_with("message_start,") && events.ends_with("message_stop"), "{events}");

    // Nothing was refused for lack of a field: the inspector is shown bodies although nobody else is.
    let state = stage.answer("state").await;
    assert!(state.contains("\"Programmed\"") && !state.contains("PartiallySupported"), "{state}");
    let mut seen = vec![browser.text("document.documentElement.outerHTML").await, list, state];
    for path in ["", "app.js", "events", "requests/1", "requests/2", "requests/3", "requests/4", "requests/5"]
    {
        seen.push(stage.answer(path).await);
    }
    assert!(seen[10].contains(" 404 ") && seen[6].contains("\"base64\""), "{}", seen[6]);
    for (index, text) in seen.iter().enumerate() {
        assert!(!text.contains(KEY) && !text.contains("own-0123456789abcdef"), "{index}: {text}");
    }
    let requested = browser.requested();
    assert!(requested.len() > 10, "{requested:?}");
    let own = |url: &String| url.starts_with(&stage.url) || url == "about:blank";
    assert!(requested.iter().all(own), "{requested:?}");
    browser.assert_no_violation().await;
}

#[tokio::test]
async fn everything_is_done_by_the_keyboard() {
    let stage = Stage::start().await;
    stage.send(&message()).await;
    stage.send(&message().path("/v1/messages?a=1")).await;
    stage.send(&streamed()).await;
    stage.provider.behave(|behaviour| behaviour.status = Some(404));
    stage.send(&message().path("/v1/models")).await;
    stage.send(&message().path("/v1/other")).await;
    let mut browser = Browser::open(&stage.url).await;
    rows(&mut browser, 5).await;
    let focused = "document.activeElement.id";
    assert_eq!(browser.text(focused).await, "list");

    for (filter, count) in [
        ("status:200", 3),
        ("status:2xx", 3),
        ("-status:2xx", 2),
        ("path:/v1/m", 4),
        ("path:/v1/m -path:models", 3),
        (&format!("host:{HOST} decision:injected"), 3),
        ("reason:endpoint_not_listed", 2),
        ("MODELS", 1),
        ("model:claude", 5),
        ("nothing-has-this", 0),
    ] {
        browser.press("/").await;
        assert_eq!(browser.text(focused).await, "filter");
        browser.press("Backspace").await;
        browser.type_text(filter).await;
        assert_eq!(browser.text("document.querySelector('#filter').value").await, filter);
        rows(&mut browser, count).await;
        browser.press("Escape").await;
        assert_eq!(browser.text(focused).await, "list");
    }
    browser.press("/").await;
    browser.press("Backspace").await;
    browser.press("Enter").await;
    rows(&mut browser, 5).await;

    let selected = "document.querySelector('.row[aria-selected=true]')?.ariaRowIndex";
    for (key, row) in [
        ("Home", "2"),
        ("j", "3"),
        ("ArrowDown", "4"),
        ("k", "3"),
        ("ArrowUp", "2"),
        ("ArrowUp", "2"),
        ("End", "6"),
        ("PageUp", "2"),
        ("PageDown", "6"),
    ] {
        browser.press(key).await;
        browser.until(&format!("{selected} === '{row}'")).await;
        browser
            .until(&format!(
                "document.getElementById(document.querySelector('#list').getAttribute('aria-activedescendant'))\
                 ?.ariaRowIndex === '{row}'"
            ))
            .await;
    }
    open(&mut browser, 3).await;
    // The open request follows the selection.
    browser.press("j").await;
    browser.until(&format!("{selected} === '5'")).await;
    browser.until("document.querySelector('#request').innerText.includes('/v1/models')").await;
    browser.press("Escape").await;
    browser.until("document.querySelector('#request').hidden").await;
    assert_eq!(browser.text(focused).await, "list");

    browser.press("2").await;
    browser.until("document.querySelectorAll('#view-usage rect').length === 2").await;
    let usage = browser.text("document.querySelector('#view-usage').innerText").await;
    assert!(usage.contains("36") && usage.contains("18"), "{usage}");
    browser.press("ArrowRight").await;
    browser.until("document.querySelectorAll('#objects tbody tr').length >= 3").await;
    let objects = browser.text("document.querySelector('#view-objects').innerText").await;
    for part in [
        "EgressGateway",
        "AIProviderRoute",
        "CredentialInjectionPolicy",
        "default/anthropic",
        "Programmed",
        "True",
    ] {
        assert!(objects.contains(part), "{part}: {objects}");
    }
    browser.press("1").await;
    browser.press("?").await;
    browser.until("document.querySelector('#help').open").await;
    browser.press("Escape").await;
    browser.until("!document.querySelector('#help').open").await;

    // Whatever has the focus shows it, all the way round.
    for _ in 0..12 {
        browser.press("Tab").await;
        let visible = browser.value("document.activeElement === document.body || document.activeElement.tagName === 'INPUT' || getComputedStyle(document.activeElement).outlineStyle !== 'none'").await;
        assert_eq!(visible, true, "{}", browser.text("document.activeElement.outerHTML.slice(0, 200)").await);
    }
    browser.assert_no_violation().await;
}

/// From here on the page gets an answer when `let_come` says so.
const HOLD: &str = "(() => {
    const ask = window.fetch;
    window.asked = [];
    window.fetch = (...request) => new Promise((answered, failed) => {
        asked.push(() => {
            const answer = ask(...request);
            answer.then(answered, failed);
            return answer.catch(() => null);
        });
    });
    return true;
})()";

/// Lets the answer to this of the held questions come, and the page do what it does with it.
async fn let_come(browser: &mut Browser, number: usize) {
    browser.until(&format!("asked.length > {number}")).await;
    let drawn = "new Promise((drawn) => setTimeout(() => requestAnimationFrame(drawn), 100))";
    browser.value(&format!("asked[{number}]().then(() => {drawn}).then(() => true)")).await;
}

#[tokio::test]
async fn the_last_one_opened_is_shown_in_whatever_order_answers_come() {
    let stage = Stage::start().await;
    let mut browser = Browser::open(&stage.url).await;
    stage.send(&message()).await;
    rows(&mut browser, 1).await;
    stage.send(&message().path("/v1/messages?second")).await;
    rows(&mut browser, 2).await;
    browser.value(HOLD).await;
    for key in ["Home", "Enter", "j", "Enter"] {
        browser.press(key).await;
    }
    let selected = "document.querySelector('.row[aria-selected=true]').ariaRowIndex";
    for answer in [1, 0] {
        let_come(&mut browser, answer).await;
        assert_eq!(browser.text(selected).await, "3", "{answer}");
        let pane = browser.text(PANE).await;
        assert!(pane.contains("/v1/messages?second"), "{answer}: {pane}");
    }

    // One that was closed before it came stays closed.
    browser.press("k").await;
    browser.press("Escape").await;
    let_come(&mut browser, 2).await;
    assert_eq!(browser.value("document.querySelector('#request').hidden").await, true);
    assert_eq!(browser.text(selected).await, "2");
    browser.assert_no_violation().await;
}

/// The texts in sight whose contrast is below 4.5 (WCAG 2.2, 1.4.3), with their colours.
const PALE: &str = r"(() => {
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
        const [red, green, blue] = parts(colour).map((part) => {
            const value = part / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const back = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if ((parts(colour)[3] ?? 1) > 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (walker.currentNode.data.trim() === '' || !element.checkVisibility()) continue;
        seen += 1;
        const style = getComputedStyle(element);
        const colour = element instanceof SVGElement ? style.fill : style.color;
        const [one, other] = [light(colour), light(back(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        if (contrast < 4.5) found.push(`${walker.currentNode.data} ${colour} on ${back(element)} ${contrast}`);
    }
    return seen < 20 ? ['too few texts: ' + seen] : found;
})()";

#[tokio::test]
async fn texts_are_readable_in_light_and_in_dark() {
    let stage = Stage::start().await;
    stage.send(&message()).await;
    stage.send(&message().path("/v1/unknown").header("authorization", "Bearer own-0123456789abcdef")).await;
    let mut browser = Browser::open(&stage.url).await;
    rows(&mut browser, 2).await;
    open(&mut browser, 1).await;
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        backgrounds.push(browser.text("getComputedStyle(document.body).backgroundColor").await);
        for view in ["1", "2", "3"] {
            browser.press(view).await;
            if view == "3" {
                browser.until("document.querySelector('#objects')").await;
            }
            assert_eq!(browser.value(PALE).await, serde_json::json!([]), "{scheme} {view}");
        }
    }
    assert_eq!(backgrounds, ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]);
    browser.assert_no_violation().await;
}
