//! Draws what the supervisor does in an outage, as a picture for the documentation.

use std::fmt::Write as _;
use std::time::Duration;

use navien2mqtt::supervisor::*;

use crate::world::{Cloud, World, settings};

/// The cloud answers every request with a 500 for so long.
const OUTAGE: Duration = Duration::from_secs(900);
const END: f64 = 990.0;
const LEFT: f64 = 140.0;
const SCALE: f64 = 0.84;

fn x(seconds: f64) -> f64 {
    LEFT + (seconds + 30.0) * SCALE
}

fn colour(state: State) -> &'static str {
    match state {
        State::Connected => "#2e9e5b",
        State::Reconnecting => "#e0a526",
        State::Recovering => "#d9622b",
        State::Failed => "#b3261e",
        State::Starting | State::Stopping => "#888888",
    }
}

/// Returns the picture, and the same in words.
pub fn draw(strategy: Strategy) -> (String, String) {
    let mut world = World::connected(Policy { strategy, ..settings() });
    let begin = world.now;
    let offset = (begin - world.begin).as_secs_f64();
    world.cloud = Cloud::Error500;
    world.lose_link();
    let mut spans = vec![(State::Connected, -30.0), (world.state(), 0.0)];
    while world.now < begin + Duration::from_secs_f64(END) {
        if world.now >= begin + OUTAGE {
            world.cloud = Cloud::Good;
        }
        let next = begin + if world.now < begin + OUTAGE { OUTAGE } else { Duration::from_secs_f64(END) };
        if !world.step(next) {
            world.now = next;
        }
        let (state, at) = (world.state(), (world.now - begin).as_secs_f64());
        if spans.last().is_some_and(|(last, _)| *last != state) {
            spans.push((state, at));
        }
    }
    let at = |wanted: fn(&Effect) -> bool| -> Vec<f64> {
        world.times_of(wanted).into_iter().map(|at| at - (offset * 10.0).round() / 10.0).collect()
    };
    let attempts = at(|e| matches!(e, Effect::EnsureCredentials(..)));
    let renewals = at(|e| matches!(e, Effect::EnsureCredentials(_, Renewal::All)));
    let rebuilt = at(|e| matches!(e, Effect::ForgetSession));
    let whole = |times: &[f64]| times.iter().map(|t| format!("{t:.0}")).collect::<Vec<_>>().join(", ");
    let back = spans.last().map_or(0.0, |(_, at)| *at);
    let words = format!("attempts after {} s; connected again after {back:.0} s", whole(&attempts));
    (svg(strategy, &spans, [&attempts, &renewals, &rebuilt]), words)
}

fn svg(strategy: Strategy, spans: &[(State, f64)], [attempts, renewals, rebuilt]: [&[f64]; 3]) -> String {
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1010 170\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"1010\" height=\"170\" fill=\"#ffffff\"/>\n",
    );
    let _ = writeln!(
        out,
        "<text x=\"20\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}: the cloud answers 500 for fifteen minutes</text>",
        strategy.as_str(),
    );
    let ends = spans.iter().skip(1).map(|(_, at)| *at).chain([END]);
    for ((state, from), to) in spans.iter().zip(ends) {
        let (left, width) = (x(*from), (to - from) * SCALE);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"30\" width=\"{width:.1}\" height=\"28\" fill=\"{}\"/>",
            colour(*state)
        );
        if width > 70.0 {
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"49\" fill=\"#ffffff\">{state}</text>", left + 6.0);
        }
    }
    for (times, label, y, colour) in [
        (attempts, "attempt", 66.0, "#333333"),
        (rebuilt, "session built anew", 84.0, "#3367d6"),
        (renewals, "tokens renewed", 102.0, "#8e24aa"),
    ] {
        for at in times {
            let _ = writeln!(out, "<rect x=\"{:.1}\" y=\"{y}\" width=\"2\" height=\"14\" fill=\"{colour}\"/>", x(*at));
        }
        let _ = writeln!(out, "<text x=\"20\" y=\"{:.1}\" fill=\"{colour}\">{label}</text>", y + 12.0);
    }
    for minute in 0..=16 {
        let at = x(f64::from(minute) * 60.0);
        let _ = writeln!(out, "<rect x=\"{at:.1}\" y=\"122\" width=\"1\" height=\"8\" fill=\"#999999\"/>");
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"145\" fill=\"#666666\" text-anchor=\"middle\">{minute}</text>");
    }
    let over = x(OUTAGE.as_secs_f64());
    let _ = writeln!(out, "<path d=\"M{over:.1} 26V130\" stroke=\"#b3261e\" stroke-dasharray=\"4 3\"/>");
    let _ =
        writeln!(out, "<text x=\"{:.1}\" y=\"162\" fill=\"#b3261e\" text-anchor=\"middle\">cloud is back</text>", over);
    let _ = writeln!(out, "<text x=\"20\" y=\"145\" fill=\"#666666\">minutes</text>");
    out + "</svg>\n"
}
