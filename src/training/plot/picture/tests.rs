use super::super::history::{History, Point};
use super::*;
use crate::tasks::Figures;

fn run(name: &str, reports: &[(&str, usize, f64)]) -> PlottedRun {
    let mut history = History::default();
    for &(split, step, loss) in reports {
        let lr = Some(0.1 / step as f64);
        let figures = Figures::of_nats(loss);
        let point = Point { step, loss: Some(loss), figures, lr, ..Point::default() };
        history.push(split, point);
    }
    PlottedRun { name: name.into(), history }
}

fn usual(runs: &[PlottedRun]) -> Picture {
    Picture::usual(runs, Axis::Step).unwrap()
}

/// The pixel coordinates of the points of each line of that width, by panel.
fn lines(svg: &str, width: u32) -> Vec<Vec<(f64, f64)>> {
    let lines = svg.lines().filter(|line| line.starts_with("<polyline"));
    let lines = lines.filter(|line| line.contains(&format!("stroke-width=\"{width}\"")));
    let pair = |pair: &str| {
        let (x, y) = pair.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    let points = |line: &str| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap().to_string();
    lines.map(|line| points(line).split_whitespace().map(pair).collect()).collect()
}

#[test]
fn run_has_a_line_for_each_split() {
    let runs = [run("my-gru", &[("train", 1, 4.), ("train", 2, 3.), ("valid", 2, 3.5), ("valid", 4, 2.)])];
    let svg = usual(&runs).svg(&runs).unwrap();
    for label in ["my-gru", "training", "validation", "loss", "perplexity", "learning rate", "optimizer step"]
    {
        assert!(svg.contains(&format!("\n{label}\n")), "no {label} in {svg}");
    }
    let trained = &lines(&svg, 3)[0];
    let validated = &lines(&svg, 4)[0];
    assert_eq!((trained.len(), validated.len()), (2, 2));
    // A smaller loss is lower, equal steps have the same x, and heights are linear in the loss.
    assert!(trained[0].1 < trained[1].1 && trained[1].0 == validated[0].0, "{trained:?} {validated:?}");
    let height = |from: f64, to: f64| (validated[1].1 - trained[0].1) * (from - to) / 2.;
    assert!((trained[1].1 - trained[0].1 - height(4., 3.)).abs() <= 1., "{trained:?} {validated:?}");
    assert!((validated[0].1 - trained[0].1 - height(4., 3.5)).abs() <= 1.);
}

#[test]
fn several_runs_have_their_names_and_colours() {
    let runs: Vec<PlottedRun> = (0..MOST_RUNS)
        .map(|index| {
            run(&format!("run-{index}"), &[("train", 1, 4.), ("valid", 1 + index, 3.), ("valid", 9, 2.)])
        })
        .collect();
    let svg = usual(&runs).svg(&runs).unwrap();
    let colors: std::collections::BTreeSet<&str> =
        svg.lines().filter_map(|line| line.split("stroke=\"").nth(1)?.split('"').next()).collect();
    assert!(colors.len() >= MOST_RUNS, "{colors:?}");
    assert!((0..MOST_RUNS).all(|index| svg.contains(&format!("\nrun-{index}\n"))));
    let more: Vec<PlottedRun> = runs.iter().chain([&runs[0]]).cloned().collect();
    let error = usual(&more).svg(&more).unwrap_err().to_string();
    assert!(error.contains(&format!("draw {MOST_RUNS} at most")), "{error}");
}

#[test]
fn odd_runs_are_drawn_or_refused() {
    let one = run("one", &[("valid", 3, 2.)]);
    let none = PlottedRun { name: "none".into(), history: History::default() };
    let nan = run(
        "nan",
        &[("train", 1, 4.), ("train", 2, f64::NAN), ("train", 3, 3.), ("valid", 3, f64::INFINITY)],
    );
    let same = run("same", &[("train", 1, 0.), ("train", 2, 0.)]);
    for runs in [vec![one.clone()], vec![nan.clone()], vec![same], vec![one.clone(), nan.clone()]] {
        let svg = usual(&runs).svg(&runs).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        assert!(usual(&runs).png(&runs).unwrap().starts_with(b"\x89PNG"));
    }
    let alone = std::slice::from_ref(&nan);
    let trained = &lines(&usual(alone).svg(alone).unwrap(), 3)[0];
    assert_eq!(trained.len(), 2, "NaN is left out");
    let picture = |quantity, axis| Picture { quantities: vec![quantity], axis };
    for (picture, runs, problem) in [
        (picture(Quantity::Loss, Axis::Step), vec![one.clone(), none.clone()], "none: holds no reports yet"),
        (
            picture(Quantity::Accuracy, Axis::Step),
            vec![one.clone()],
            "none of these runs reports its accuracy",
        ),
        (picture(Quantity::Loss, Axis::Epoch), vec![one], "no epoch of one is known to be over"),
    ] {
        let error = picture.svg(&runs).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    assert!(Picture::usual(&[none], Axis::Step).unwrap_err().to_string().contains("no figure to draw"));
}
