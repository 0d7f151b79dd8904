//! The recipes of docs/clients.md: what stands after `keyward run --` under each client's name.

use std::collections::BTreeMap;

use harness::artefacts::root;

/// The recipes by client.
pub(crate) fn all() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("docs/clients.md")).expect("docs/clients.md");
    let mut recipes: BTreeMap<String, String> = BTreeMap::new();
    let (mut inside, mut client) = (false, String::new());
    for line in text.lines() {
        match line.strip_prefix("# ") {
            _ if line.starts_with("```") => inside = line == "```sh",
            Some(name) if inside => name.clone_into(&mut client),
            _ if inside => {
                let recipe = recipes.entry(client.clone()).or_default();
                recipe.push_str(line);
                recipe.push('\n');
            }
            _ => {}
        }
    }
    recipes.into_iter().map(|(client, recipe)| (client, command(&recipe))).collect()
}

/// The recipe of this client.
#[track_caller]
pub(crate) fn of(client: &str) -> String {
    all().remove(client).unwrap_or_else(|| panic!("docs/clients.md has no recipe for {client}"))
}

fn command(recipe: &str) -> String {
    let command = recipe.strip_prefix("keyward run -- ");
    command.unwrap_or_else(|| panic!("a recipe is one `keyward run -- COMMAND`, not {recipe:?}")).to_owned()
}
