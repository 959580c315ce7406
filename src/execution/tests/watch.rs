//! The watch, looking at a board that one seat writes.

use std::time::Duration;

use super::Stage;
use crate::clock::{Clock, Mono};
use crate::execution::watch::{Found, Watch};
use crate::queue::{Moment, Take};

#[test]
fn a_run_is_told_of_once_after_a_moment_and_again_when_its_time_is_long_up() {
    let mut stage = Stage::new(2);
    stage.push("NOOP");
    stage.push("NOOP");
    let mut seat = stage.seats.remove(0);
    let Take::Taken(_) = seat.take(Moment::default()) else { panic!("nothing taken") };
    seat.set_deadline(Mono(10_000_000));
    let mut watch = Watch::new(2);
    let mut look = || watch.look(stage.entrance.board(), stage.clock.mono());
    let after = |time: Duration| stage.clock.advance(time);

    after(Duration::from_millis(49));
    assert_eq!(look(), []);
    after(Duration::from_millis(1));
    assert!(matches!(look()[..], [Found::Began(running)] if running.id.get() == 1));
    assert_eq!(look(), []);
    after(Duration::from_millis(14_950));
    assert_eq!(look(), []);
    after(Duration::from_micros(1));
    assert!(matches!(look()[..], [Found::Overdue(running)] if running.id.get() == 1));
}

#[test]
fn the_next_run_of_the_same_seat_is_told_of_anew() {
    let mut stage = Stage::new(1);
    let mut seat = stage.seats.remove(0);
    let mut watch = Watch::new(1);
    for id in 1..=2 {
        stage.push("NOOP");
        let mono = stage.clock.mono();
        let Take::Taken(_) = seat.take(Moment { mono, ..Moment::default() }) else { panic!() };
        assert_eq!(watch.look(stage.entrance.board(), stage.clock.mono()), []);
        stage.clock.advance(Watch::MOMENT);
        let found = watch.look(stage.entrance.board(), stage.clock.mono());
        assert!(matches!(found[..], [Found::Began(running)] if running.id.get() == id));
        seat.end(0);
    }
}
