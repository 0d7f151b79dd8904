//! The files of the page, as they are built into the program.

/// A file and its media type.
pub(super) struct Asset {
    pub(super) kind: &'static str,
    pub(super) bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file of this name; that without a name is the page itself.
pub(super) fn find(name: &str) -> Option<Asset> {
    let (kind, bytes): (_, &[u8]) = match name {
        "" => (HTML, include_bytes!("page/index.html")),
        "style.css" => (CSS, include_bytes!("page/style.css")),
        "icon.svg" => ("image/svg+xml", include_bytes!("page/icon.svg")),
        "app.js" => (SCRIPT, include_bytes!("page/app.js")),
        "body.js" => (SCRIPT, include_bytes!("page/body.js")),
        "dom.js" => (SCRIPT, include_bytes!("page/dom.js")),
        "filter.js" => (SCRIPT, include_bytes!("page/filter.js")),
        "list.js" => (SCRIPT, include_bytes!("page/list.js")),
        "objects.js" => (SCRIPT, include_bytes!("page/objects.js")),
        "request.js" => (SCRIPT, include_bytes!("page/request.js")),
        "usage.js" => (SCRIPT, include_bytes!("page/usage.js")),
        _ => return None,
    };
    Some(Asset { kind, bytes })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::find;

    /// What the page cannot do under its content security policy, or must not do with what agents write.
    const NEVER: [&str; 9] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "http://",
        "<style",
        "srcdoc",
    ];

    #[test]
    fn every_file_of_the_page_is_served_and_none_makes_markup_of_a_text() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/inspector/page");
        let entries = std::fs::read_dir(folder).expect("the page");
        let names: BTreeSet<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        for name in &names {
            let asset =
                find(if name == "index.html" { "" } else { name }).unwrap_or_else(|| panic!("{name}"));
            let text = std::str::from_utf8(asset.bytes).expect("text");
            for word in NEVER {
                // The name of SVG is no address that anything is loaded from.
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
        assert!(names.len() > 8 && find("other.js").is_none() && find("../mod.rs").is_none());
    }
}
