//! The HTML report in a real browser: Chromium, without a network.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::simulate::{Folder, run};

/// A page that is not there by then never will be.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs Chromium on a file with further arguments; what it writes. A line on the console of the page is a failure.
fn chromium(folder: &Folder, file: &str, arguments: &[String]) -> String {
    let profile = folder.path("profile");
    let mut child = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--no-first-run"])
        .arg(format!("--user-data-dir={profile}"))
        .args(arguments)
        .arg(format!("file://{file}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("Chromium cannot be started ({error}); install it, on Debian: apt-get install --no-install-recommends chromium")
        });
    // Both pipes end when it does.
    let (done, ended) = mpsc::channel();
    let read = |is_error: bool, mut pipe: Box<dyn Read + Send>| {
        let done = done.clone();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            // Nobody listens any more after the deadline.
            let _ = done.send((is_error, String::from_utf8_lossy(&text).into_owned()));
        });
    };
    read(false, Box::new(child.stdout.take().unwrap()));
    read(true, Box::new(child.stderr.take().unwrap()));
    let deadline = Instant::now() + PATIENCE;
    let (mut out, mut err) = (String::new(), String::new());
    for _ in 0..2 {
        match ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((true, text)) => err = text,
            Ok((false, text)) => out = text,
            Err(_) => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("Chromium is not done with {file} after {} s", PATIENCE.as_secs());
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "Chromium failed on {file}: {err}");
    let console: Vec<&str> = err.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert_eq!(console, Vec::<&str>::new(), "the page wrote to the console");
    out
}

/// A picture of the page, as pixels of red, green and blue.
fn screenshot(folder: &Folder, file: &str, dark: bool) -> Vec<[u8; 3]> {
    let png = folder.path(if dark { "dark.png" } else { "light.png" });
    let scheme = i32::from(!dark);
    let arguments = [
        format!("--screenshot={png}"),
        "--window-size=1400,1000".to_owned(),
        format!("--blink-settings=preferredColorScheme={scheme}"),
    ];
    chromium(folder, file, &arguments);
    let mut decoder = png::Decoder::new(BufReader::new(File::open(&png).unwrap()));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(
        (info.width, info.height, info.color_type),
        (1400, 1000, png::ColorType::Rgba)
    );
    bytes
        .chunks_exact(4)
        .map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect()
}

/// The document after its scripts ran, together with these ones.
fn dom(folder: &Folder, html: &str, script: &str) -> String {
    // First of all scripts, so that no error escapes.
    let catch =
        "<head><script>window.errors = []; window.onerror = message => { window.errors.push(message); };</script>";
    let tell = format!(
        "<script>{script}\ndocument.documentElement.dataset.errors = window.errors.join('; ');</script></body>"
    );
    let html = html.replacen("<head>", catch, 1).replacen("</body>", &tell, 1);
    std::fs::write(folder.path("probed.html"), html).unwrap();
    let dom = chromium(folder, &folder.path("probed.html"), &["--dump-dom".to_owned()]);
    assert!(
        dom.contains("data-errors=\"\""),
        "a script of the page failed: {}",
        &dom[..dom.len().min(400)]
    );
    dom
}

fn example(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    examples.join(name).display().to_string()
}

/// The page of an example and the JSON report of the same simulations.
fn both(name: &str) -> (String, Value) {
    let (_, html) = run(&["-f", &example(name), "-o", "html"]).unwrap();
    let (_, json) = run(&["-f", &example(name), "-o", "json"]).unwrap();
    (html, serde_json::from_str(&json).unwrap())
}

/// The text of the element that begins with this, without elements in it.
fn text_after<'a>(dom: &'a str, mark: &str) -> Vec<&'a str> {
    let parts = dom.split(mark).skip(1);
    parts
        .map(|part| part.split_once('>').unwrap().1.split('<').next().unwrap())
        .collect()
}

/// 17624.4 as `17,624`.
fn with_commas(number: f64) -> String {
    let digits: Vec<char> = format!("{number:.0}").chars().rev().collect();
    let groups: Vec<String> = digits.chunks(3).map(|group| group.iter().collect()).collect();
    groups.join(",").chars().rev().collect()
}

/// The value of a curve in the report at a moment.
fn held(list: &Value, at: i64) -> &Value {
    let mut points = list.as_array().unwrap().iter();
    points.rfind(|point| point["atMillis"].as_i64().unwrap() <= at).unwrap()
}

/// The labels of all plots at a moment, by the report.
fn expected(rollout: &Value, at: i64) -> Vec<String> {
    let split = held(&rollout["split"], at);
    let mut values = vec![
        format!("split wanted={} %", split["wanted"]),
        format!("split routed={} %", split["routed"]),
        format!("split acked={} %", split["acknowledged"]),
    ];
    for pods in held(&rollout["pods"], at)["pods"].as_array().unwrap() {
        values.push(format!(
            "pods {}={}/{}",
            pods["revision"], pods["available"], pods["wanted"]
        ));
    }
    for revision in rollout["revisions"].as_array().unwrap() {
        let number = &revision["revision"];
        let mut samples = revision["samples"].as_array().unwrap().iter();
        // A sample is about the time before it.
        let sample = samples
            .find(|sample| sample["atMillis"].as_i64().unwrap() >= at)
            .unwrap();
        let rate = sample["errorRate"].as_f64().unwrap();
        values.push(format!("sample {number} errorRate={} %", (rate * 1e4).round() / 1e2));
        values.push(format!(
            "sample {number} p99Millis={} ms",
            sample["p99Millis"].as_f64().unwrap()
        ));
    }
    let measurement = held(&rollout["runs"][0]["measurements"], at);
    values.push(format!(
        "evidence verdict error-rate={}",
        measurement["verdict"].as_str().unwrap()
    ));
    values.iter().map(|value| value.replace(".0 ", " ")).collect()
}

#[test]
fn the_page_is_drawn_light_and_dark_without_an_error() {
    let folder = Folder::new("browser-pictures", &[]);
    let (html, _) = both("canary-httproute");
    std::fs::write(folder.path("page.html"), html).unwrap();
    let page = folder.path("page.html");
    let (light, dark) = (screenshot(&folder, &page, false), screenshot(&folder, &page, true));
    for (name, pixels, is_dark) in [("light", &light, false), ("dark", &dark, true)] {
        let colours: BTreeSet<[u8; 3]> = pixels.iter().copied().collect();
        assert!(
            colours.len() > 40,
            "{name}: only {} colours, is it blank?",
            colours.len()
        );
        let is_blue = |[red, _, blue]: &&[u8; 3]| i32::from(*blue) - i32::from(*red) > 20;
        assert!(
            pixels.iter().filter(is_blue).count() > 10_000,
            "{name}: no area of the canary"
        );
        let corner: u32 = pixels[0].iter().copied().map(u32::from).sum();
        assert_eq!(corner < 128 * 3, is_dark, "{name}: {:?} in the corner", pixels[0]);
    }
    let other = light.iter().zip(&dark).filter(|(light, dark)| light != dark).count();
    assert!(other > light.len() / 2, "light and dark are nearly the same");
}

#[test]
fn the_numbers_at_the_top_are_those_of_the_json_report() {
    let folder = Folder::new("browser-numbers", &[]);
    let (html, report) = both("canary-httproute");
    let dom = dom(&folder, &html, "");
    let sections: Vec<&str> = dom.split("<section ").skip(1).collect();
    let simulations = report["simulations"].as_array().unwrap();
    assert_eq!((sections.len(), simulations.len()), (2, 2));
    for (section, simulation) in sections.iter().zip(simulations) {
        let rollout = &simulation["rollouts"][0];
        let phase = rollout["outcome"]["phase"].as_str().unwrap();
        let badge = text_after(section, "<span class=\"badge");
        assert!(badge[0].ends_with(phase), "{badge:?} is not {phase}");
        let number = |revision: &Value, name: &str| revision[name].as_f64().unwrap();
        let revisions = rollout["revisions"].as_array().unwrap();
        assert!(!revisions.is_empty());
        for revision in revisions {
            let all = number(revision, "ok") + number(revision, "errors");
            let mark = format!("<td class=\"number\" data-served=\"{}\"", revision["revision"]);
            assert_eq!(text_after(section, &mark), [with_commas(all)]);
            let failed = section.split(&mark).nth(1).unwrap().split("<td").nth(1).unwrap();
            assert!(
                failed.contains(&format!(">{}<", with_commas(number(revision, "errors")))),
                "{failed}"
            );
        }
        let spans = rollout["spans"].as_array().unwrap();
        let shown = text_after(section, "<b data-step=");
        assert!(!spans.is_empty() && shown.len() == spans.len(), "{shown:?}");
        for (span, text) in spans.iter().zip(shown) {
            let tenths = (span["untilMillis"].as_i64().unwrap() - span["fromMillis"].as_i64().unwrap()) / 100;
            assert_eq!(text, format!("{}.{}s", tenths / 10, tenths % 10), "{span}");
        }
    }
}

#[test]
fn every_plot_shows_the_values_of_the_report_at_the_moment_under_the_pointer_and_of_a_clicked_row() {
    let folder = Folder::new("browser-moments", &[]);
    let (html, report) = both("canary-httproute");
    let rollout = &report["simulations"][1]["rollouts"][0];
    // While the bad version gets 5 % and its second measurement is not yet there.
    let at = rollout["runs"][0]["measurements"][0]["atMillis"].as_i64().unwrap() + 3_210;
    let script = format!(
        "const section = document.getElementById('u1-0');
         const [plots, box] = [section.querySelector('.plots'), section.querySelector('.over').getBoundingClientRect()];
         const [from, until] = [Number(section.dataset.from), Number(section.dataset.until)];
         const x = box.left + ({at} - from) / (until - from) * box.width;
         plots.dispatchEvent(new PointerEvent('pointermove', {{ clientX: x, bubbles: true }}));
         const all = () => [...section.querySelectorAll('[data-value]')].map(b => `${{b.dataset.value}}=${{b.textContent}}`).join(';');
         const told = [all(), plots.getAttribute('aria-valuetext')];
         plots.dispatchEvent(new PointerEvent('pointerleave'));
         const row = [...section.querySelectorAll('.row')].find(row => row.textContent.includes('MetricFailed'));
         row.click();
         told.push(all(), row.className, section.querySelector('.pinned').hidden, section.querySelector('.cursor').textContent);
         plots.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Home' }}));
         plots.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'ArrowRight' }}));
         told.push(section.querySelector('.cursor').textContent);
         plots.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Escape' }}));
         told.push(section.querySelector('.pinned').hidden);
         document.documentElement.dataset.told = told.join('|');"
    );
    let dom = dom(&folder, &html, &script);
    let told = dom
        .split("data-told=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let told: Vec<&str> = told.split('|').collect();
    let shown: Vec<&str> = told[0].split(';').collect();
    for value in expected(rollout, at) {
        assert!(shown.contains(&value.as_str()), "{value} is not in {shown:?}");
    }
    assert!(told[1].contains("routed 5 %"), "not said aloud: {}", told[1]);
    let row = rollout["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["text"].as_str().unwrap().starts_with("MetricFailed"));
    let failed = row.unwrap()["atMillis"].as_i64().unwrap();
    let shown: Vec<&str> = told[2].split(';').collect();
    for value in expected(rollout, failed)
        .iter()
        .filter(|value| !value.starts_with("sample"))
    {
        assert!(shown.contains(&value.as_str()), "{value} is not in {shown:?}");
    }
    assert!(
        told[3].split(' ').any(|class| class == "at"),
        "the clicked row is not marked: {}",
        told[3]
    );
    assert_eq!(
        (told[4], told[7]),
        ("false", "true"),
        "the moment is marked until Escape"
    );
    let clock = |millis: i64| format!("{}:{:02}.{}", millis / 60_000, millis / 1_000 % 60, millis / 100 % 10);
    assert_eq!(told[5], clock(failed));
    assert_eq!(told[6], "0:40.0", "the first moment with a row is that of the change");
}

#[test]
fn hostile_names_stay_texts() {
    let evil = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\"><!-- ' &amp;";
    let manifests = example("canary-basic");
    let scenario = serde_json::json!({
        "name": evil,
        "description": evil,
        "script": [{"at": "1m", "image": format!("shop:{evil}")}],
        "expect": [{"message": evil}],
    });
    let folder = Folder::new("browser-hostile", &[("evil.yaml", &scenario.to_string())]);
    let arguments = ["-f", &manifests, "--scenario", &folder.path("evil.yaml")];
    let (_, html) = run(&[&arguments[..], &["-o", "html"]].concat()).unwrap();
    assert_eq!(
        html.matches("<script").count(),
        2,
        "the report and the script of the page"
    );
    assert!(!html.contains("<img") && !html.contains("<!-"));
    let script = "document.documentElement.dataset.seen = `${document.title}|${document.images.length}|${document.scripts.length}`;
        document.documentElement.dataset.same = JSON.parse(document.getElementById('report').textContent).simulations[0].scenario === document.querySelector('h2').lastChild.textContent;";
    let dom = dom(&folder, &html, script);
    let seen = dom.split("data-seen=\"").nth(1).unwrap().split('"').next().unwrap();
    // Two scripts of the page and two of this test.
    assert!(seen.ends_with("· simulated by Sluice|0|4"), "{seen}");
    assert!(
        dom.contains("data-same=\"true\""),
        "the name is shown and kept as it is"
    );
}

#[test]
fn the_page_loads_nothing_and_is_always_the_same() {
    let examples: Vec<PathBuf> = ["canary-httproute", "canary-basic", "blue-green"]
        .map(|name| example(name).into())
        .to_vec();
    for path in examples {
        let path = path.display().to_string();
        let (_, html) = run(&["-f", &path, "-o", "html"]).unwrap();
        assert!(
            html == run(&["-f", &path, "-o", "html"]).unwrap().1,
            "{path}: other bytes"
        );
        assert!(html.contains("default-src 'none'"), "{path}");
        let page = html.split("<script type=\"application/json\"").next().unwrap();
        for attribute in ["src=", "xlink:href=", "url(", "@import"] {
            assert!(!page.contains(attribute), "{path}: {attribute}");
        }
        for link in page.split("href=").skip(1) {
            assert!(link.starts_with("\"#"), "{path}: {}", &link[..link.len().min(60)]);
        }
    }
}

#[test]
fn a_page_is_not_written_to_a_terminal() {
    let error = crate::simulate::run_on(&["-f", &example("blue-green"), "-o", "html"], true).unwrap_err();
    assert!(error.contains("-o html > simulation.html"), "{error}");
}
