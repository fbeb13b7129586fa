use super::*;

/// A disk, looked at as often as a node does.
#[derive(Debug)]
struct Disk {
    monitor: Monitor,
    now: Duration,
    look: Look,
}

impl Disk {
    fn new() -> Self {
        let look = Look { is_full: false, is_writing: false, flushes: 0, flush_time: Duration::ZERO };
        let mut disk = Self { monitor: Monitor::default(), now: Duration::from_secs(100), look };
        disk.run(Duration::from_secs(2), |_| {});
        disk
    }

    /// What every look says, with `change` before each; the last is given.
    fn run(&mut self, time: Duration, change: impl Fn(&mut Look)) -> Health {
        let end = self.now + time;
        let mut health = self.monitor.health;
        while self.now < end {
            self.now += LOOK_EVERY;
            change(&mut self.look);
            health = self.monitor.look(self.now, self.look);
        }
        health
    }

    fn syncs(&mut self, time: Duration, took: Duration) -> Health {
        self.run(time, |look| {
            look.is_writing = true;
            look.flushes += 1;
            look.flush_time += took;
        })
    }

    fn idle(&mut self, time: Duration) -> Health {
        self.run(time, |look| (look.is_full, look.is_writing) = (false, false))
    }

    fn hangs(&mut self, time: Duration) -> Health {
        self.run(time, |look| look.is_writing = true)
    }

    fn is_full(&mut self, time: Duration) -> Health {
        self.run(time, |look| look.is_full = true)
    }
}

const WELL: Health = Health { ailment: None, is_fit: true };
const BETTER: Health = Health { ailment: None, is_fit: false };

fn ill(ailment: Ailment) -> Health {
    Health { ailment: Some(ailment), is_fit: false }
}

#[test]
fn a_disk_that_does_what_it_should_is_fit() {
    let mut disk = Disk::new();
    assert_eq!(disk.syncs(Duration::from_secs(60), SLOW_SYNC - Duration::from_millis(1)), WELL);
    assert_eq!(disk.idle(Duration::from_secs(60)), WELL);
}

/// F8.
#[test]
fn a_full_disk_is_unfit_at_once() {
    assert_eq!(Disk::new().is_full(LOOK_EVERY), ill(Ailment::Full));
}

/// F6: known early enough to hand over within two seconds.
#[test]
fn a_disk_that_hangs_is_unfit_before_two_seconds_are_over() {
    let mut disk = Disk::new();
    disk.syncs(Duration::from_secs(5), Duration::from_millis(2));
    assert_eq!(disk.hangs(STALLED_AFTER - LOOK_EVERY), WELL);
    assert_eq!(disk.hangs(LOOK_EVERY), ill(Ailment::Hung));
    assert_eq!(disk.syncs(LOOK_EVERY, Duration::from_secs(30)), BETTER, "it goes on");
}

/// F15: 200 ms more a sync are known early enough to hand over within ten seconds.
#[test]
fn a_slow_disk_is_unfit_before_ten_seconds_are_over() {
    for took in [Duration::from_millis(200), Duration::from_millis(600)] {
        let mut disk = Disk::new();
        disk.syncs(Duration::from_secs(20), Duration::from_millis(2));
        assert_eq!(disk.syncs(SLOW_AFTER - WINDOW, took), WELL);
        assert_eq!(disk.syncs(3 * WINDOW, took), ill(Ailment::Slow));
    }
}

/// One sync a second or less: there are windows without any.
#[test]
fn syncs_that_take_longer_than_a_window_are_slow() {
    let mut disk = Disk::new();
    for _ in 0..6 {
        disk.hangs(Duration::from_millis(1_000));
        disk.syncs(LOOK_EVERY, Duration::from_millis(1_250));
    }
    assert_eq!(disk.monitor.health, ill(Ailment::Slow));
}

#[test]
fn a_process_that_was_stopped_does_not_blame_its_disk() {
    let mut disk = Disk::new();
    disk.hangs(LOOK_EVERY);
    disk.now += Duration::from_secs(30);
    assert_eq!(disk.hangs(LOOK_EVERY), WELL);
}

/// Leaders would go to and fro.
#[test]
fn a_disk_has_to_be_well_for_a_while_and_longer_each_time() {
    let mut disk = Disk::new();
    for demanded in [10, 20, 40, 80, 160, 300, 300].map(Duration::from_secs) {
        assert_eq!(disk.is_full(Duration::from_secs(1)), ill(Ailment::Full));
        assert_eq!(disk.idle(demanded - LOOK_EVERY), BETTER, "{demanded:?}");
        assert_eq!(disk.idle(LOOK_EVERY), WELL, "{demanded:?}");
    }
    disk.idle(FORGIVEN_AFTER);
    disk.is_full(LOOK_EVERY);
    assert_eq!(disk.idle(WELL_FOR), WELL, "that was long ago");
}

#[test]
fn a_time_in_which_it_was_ill_again_counts_for_nothing() {
    let mut disk = Disk::new();
    disk.is_full(LOOK_EVERY);
    disk.idle(WELL_FOR - LOOK_EVERY);
    disk.is_full(LOOK_EVERY);
    assert_eq!(disk.idle(WELL_FOR - LOOK_EVERY), BETTER);
    assert_eq!(disk.idle(LOOK_EVERY), WELL);
}
