//! Images and Containerfiles agree, and labels tell no secrets.
use std::collections::BTreeSet;

use super::*;

fn containerfile(component: Component) -> String {
    let name = component.repository().rsplit('/').next().unwrap();
    std::fs::read_to_string(cache::repository().join(format!("config/images/{name}.Containerfile"))).unwrap()
}

/// The last stage's lines, each with those that continue it.
fn last_stage(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    text.rsplit_once("\nFROM ").unwrap().1.lines().map(str::to_owned).collect()
}

fn labels() -> Labels {
    Labels { source: SOURCE.to_owned(), revision: Some("r".to_owned()), created: None }
}

fn image(component: Component) -> Image {
    let mut image = component.image(&labels()).unwrap();
    image.files.extend(component.programs().iter().map(|name| File::copy(path_of(name), "/bin/true", 0o755)));
    image
}

#[test]
fn containerfiles_name_the_same_entrypoint_and_user() {
    for component in Component::ALL {
        let stage = last_stage(&containerfile(component));
        let image = image(component);
        assert_eq!(stage[0], "scratch");
        let entrypoint = format!("ENTRYPOINT {}", serde_json::to_string(&image.entrypoint).unwrap());
        assert!(stage.contains(&entrypoint), "{entrypoint} in {stage:?}");
        assert!(stage.contains(&format!("USER {}", image.user)), "{stage:?}");
    }
}

#[test]
fn containerfiles_hold_the_same_files() {
    for component in Component::ALL {
        let stage = last_stage(&containerfile(component));
        let copied: BTreeSet<&str> = stage
            .iter()
            .filter(|line| line.starts_with("COPY "))
            .filter_map(|line| line.rsplit(' ').next())
            .filter(|target| *target != "/")
            .collect();
        let image = image(component);
        let libraries = |path: &str| path.starts_with("/lib");
        let held: BTreeSet<&str> = image
            .files
            .iter()
            .filter(|file| !matches!(file.content, oci::Content::Folder))
            .map(|file| file.path.as_str())
            .filter(|path| !libraries(path))
            .collect();
        assert_eq!(copied, held);
        let folders = ["COPY --from=build /libraries/ /", "COPY --from=build /empty/ /"];
        assert!(folders.iter().all(|line| stage.iter().any(|copied| copied == line)));
    }
}

#[test]
fn containerfiles_bear_the_same_labels() {
    for component in Component::ALL {
        let stage = last_stage(&containerfile(component));
        let line = stage.iter().find(|line| line.starts_with("LABEL ")).unwrap();
        for (name, value) in labels().of(component) {
            let value = match name.rsplit('.').next().unwrap() {
                "revision" => "$REVISION".to_owned(),
                "version" => "$VERSION".to_owned(),
                _ => value,
            };
            assert!(line.contains(&format!("{name}=\"{value}\"")), "{name}={value} in {line}");
        }
    }
}

#[test]
fn the_chart_runs_the_images_by_the_names_they_are_written_under() {
    let values =
        std::fs::read_to_string(cache::repository().join("charts/mlops-operator/values.yaml")).unwrap();
    for component in Component::CHART {
        let (registry, repository) = component.repository().split_once('/').unwrap();
        assert!(values.contains(&format!("registry: {registry}\n")));
        assert!(values.contains(&format!("repository: {repository}\n")));
    }
}

#[test]
fn only_addresses_without_secrets_become_a_label() {
    assert!(is_public("https://example.com/a.git"));
    for url in ["https://token@example.com/a.git", "git@example.com:a.git", "/srv/a.git", "http://a/b"] {
        assert!(!is_public(url), "{url}");
    }
}

#[test]
fn the_program_is_found_in_what_cargo_prints() {
    let printed = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                   {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/a\"}\n\
                   {\"reason\":\"build-finished\",\"success\":true}\n";
    assert_eq!(binary::executable(printed, "a").unwrap(), PathBuf::from("/t/debug/a"));
    assert!(binary::executable(printed, "b").unwrap_err().to_string().contains("no program b"));
}
