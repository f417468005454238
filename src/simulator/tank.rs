//! The water and the machinery of a heater: a two-node tank, a heat pump, two elements and people who draw hot water.

use std::f64::consts::TAU;

use crate::supervisor::Random;

/// Joules that warm one litre of water by one kelvin.
const LITRE_HEAT: f64 = 4186.0;
/// Loss of each half of the tank to the room, W/K.
const LOSS: f64 = 1.1;
/// Conduction between the halves, W/K.
const CONDUCTION: f64 = 2.5;
/// Extra loss while the recirculation pump runs, W/K.
const RECIRCULATION_LOSS: f64 = 8.0;
/// Electrical power of one element, W; only one runs at a time.
const ELEMENT: f64 = 4500.0;
/// Electrical power of the evaporator fan, W.
const FAN: f64 = 30.0;
/// Electrical power of the controller, W.
const STANDBY: f64 = 4.0;
/// The longest step that keeps the sums stable, s.
const LONGEST_STEP: f64 = 10.0;
/// Water below this is heated whatever the program says, °C.
const FREEZE_PROTECTION: f64 = 6.0;
/// Draws that begin in each hour of the day, on average.
const DRAWS: [f64; 24] = [
    0.1, 0.05, 0.05, 0.05, 0.1, 0.5, 1.8, 2.2, 1.4, 0.6, 0.5, 0.5, 0.8, 0.6, 0.4, 0.4, 0.6, 1.0, 1.6, 1.8, 1.4, 1.0,
    0.6, 0.3,
];

/// How the heat sources share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Nothing heats but the protection against frost.
    Off,
    /// The compressor alone.
    HeatPump,
    /// The elements alone.
    Electric,
    /// The compressor, and the upper element when the top is far too cold.
    EnergySaver,
    /// The compressor, and the upper element as soon as the top is a little too cold.
    HighDemand,
}

/// What the controller wants of the tank.
#[derive(Debug, Clone, Copy)]
pub struct HeatDemand {
    /// How the heat sources share the work.
    pub program: Program,
    /// The temperature to reach, °C.
    pub target: f64,
    /// Whether hot water circulates through the house.
    pub recirculating: bool,
}

/// The electrical energy and the running times of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consumption {
    /// Energy of the heat pump with its fan, Wh.
    pub heat_pump_wh: f64,
    /// Energy of the elements, Wh.
    pub element_wh: f64,
    /// Running time of the heat pump, s.
    pub heat_pump_seconds: f64,
    /// Running time of the elements, s.
    pub element_seconds: f64,
}

/// A tank of two mixed halves, with temperatures in °C.
#[derive(Debug, Clone)]
pub struct Tank {
    random: Random,
    volume: f64,
    /// The upper half.
    pub upper: f64,
    /// The lower half.
    pub lower: f64,
    /// The cold water that comes in.
    pub inlet: f64,
    /// The room.
    pub ambient: f64,
    /// Outdoors.
    pub outside: f64,
    /// The gas that leaves the compressor.
    pub discharge: f64,
    /// The gas that enters the compressor.
    pub suction: f64,
    /// The evaporator.
    pub evaporator: f64,
    /// The fan's speed, rpm.
    pub fan_rpm: f64,
    /// Whether the compressor runs.
    pub compressor: bool,
    /// Whether the upper element heats.
    pub upper_element: bool,
    /// Whether the lower element heats.
    pub lower_element: bool,
    /// Hot water drawn now, L/min.
    pub flow: f64,
    /// Hot water drawn so far, L.
    pub drawn: f64,
    /// Hours that the fan has run since its filter was cleaned.
    pub fan_hours: f64,
    draw_left: f64,
}

impl Tank {
    /// Fills a tank of `volume` litres; the seed decides how warm it is, how much it has served and who will draw.
    pub fn new(volume: f64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let upper = 48.0 + 4.0 * random.unit();
        let lower = upper - 6.0 * random.unit();
        let inlet = 10.0 + 6.0 * random.unit();
        let ambient = 18.0 + 4.0 * random.unit();
        let drawn = 40_000.0 + 60_000.0 * random.unit();
        let fan_hours = (200.0 + 600.0 * random.unit()).floor();
        Self {
            random,
            volume,
            upper,
            lower,
            inlet,
            ambient,
            outside: 10.0,
            discharge: ambient,
            suction: ambient,
            evaporator: ambient,
            fan_rpm: 0.0,
            compressor: false,
            upper_element: false,
            lower_element: false,
            flow: 0.0,
            drawn,
            fan_hours,
            draw_left: 0.0,
        }
    }

    /// Lets `seconds` pass, at `hour` of the day (0 up to 24), and returns what was consumed.
    pub fn advance(&mut self, seconds: f64, hour: f64, orders: &HeatDemand) -> Consumption {
        let mut sum = Consumption::default();
        let mut left = seconds.max(0.0);
        while left > 0.0 {
            let step = left.min(LONGEST_STEP);
            let hour = (hour + (seconds - left) / 3600.0).rem_euclid(24.0);
            self.draw(step, hour);
            self.weather(hour);
            self.switch(orders);
            self.exchange(step, orders);
            self.refrigerant(step);
            let used = self.consumption(step);
            sum.heat_pump_wh += used.heat_pump_wh;
            sum.element_wh += used.element_wh;
            sum.heat_pump_seconds += used.heat_pump_seconds;
            sum.element_seconds += used.element_seconds;
            left -= step;
        }
        sum
    }

    /// Returns the electrical power drawn now, W.
    pub fn power(&self) -> f64 {
        STANDBY + self.heat_pump_power() + self.element_power()
    }

    /// Returns the fan's wanted speed, rpm.
    pub fn target_fan_rpm(&self) -> f64 {
        if self.compressor { 1200.0 } else { 0.0 }
    }

    /// Returns the heat in a full tank at `target` above the cold inlet, Wh.
    pub fn capacity_wh(&self, target: f64) -> f64 {
        (target - self.inlet).max(0.0) * self.volume * LITRE_HEAT / 3600.0
    }

    /// Returns the heat still missing to `target`, Wh.
    pub fn missing_wh(&self, target: f64) -> f64 {
        let half = self.volume / 2.0 * LITRE_HEAT / 3600.0;
        ((target - self.upper).max(0.0) + (target - self.lower).max(0.0)) * half
    }

    /// Returns how full of usable heat the tank is, 0 to 100 %.
    pub fn charge_percent(&self, target: f64) -> f64 {
        let capacity = self.capacity_wh(target);
        if capacity <= 0.0 {
            return 100.0;
        }
        (100.0 * (1.0 - self.missing_wh(target) / capacity)).clamp(0.0, 100.0)
    }

    fn draw(&mut self, step: f64, hour: f64) {
        if self.draw_left > 0.0 {
            self.draw_left -= step;
            if self.draw_left <= 0.0 {
                self.flow = 0.0;
            }
            return;
        }
        let likely = DRAWS[(hour as usize).min(23)] * step / 3600.0;
        if self.random.unit() < likely {
            self.flow = 3.0 + 6.0 * self.random.unit();
            let luck = self.random.unit();
            self.draw_left = 30.0 + 420.0 * luck * luck;
        }
    }

    fn weather(&mut self, hour: f64) {
        let warmth = ((hour - 9.0) / 24.0 * TAU).sin();
        self.outside = 10.0 + 6.0 * warmth;
        self.ambient += (20.0 + 2.0 * warmth - self.ambient) * 0.001;
    }

    fn switch(&mut self, orders: &HeatDemand) {
        let target = orders.target;
        let (pump, top_on, top_off, bottom) = match orders.program {
            Program::Off => (false, f64::MIN, f64::MIN, false),
            Program::HeatPump => (true, f64::MIN, f64::MIN, false),
            Program::Electric => (false, target - 3.0, target, true),
            Program::EnergySaver => (true, target - 12.0, target - 5.0, false),
            Program::HighDemand => (true, target - 4.0, target - 0.5, false),
        };
        let cold = self.lower < target - 5.0 || self.upper < target - 3.0;
        self.compressor = pump && latch(self.compressor, cold, self.lower >= target);
        self.upper_element = latch(self.upper_element, self.upper < top_on, self.upper >= top_off);
        let bottom_wanted =
            latch(self.lower_element, bottom && self.lower < target - 5.0, !bottom || self.lower >= target);
        let frost = self.lower < FREEZE_PROTECTION;
        self.lower_element = (bottom_wanted || frost) && !self.upper_element;
    }

    fn exchange(&mut self, step: f64, orders: &HeatDemand) {
        let litres = self.volume / 2.0;
        let drawn = self.flow * step / 60.0;
        self.drawn += drawn;
        let share = (drawn / litres).min(1.0);
        self.upper += share * (self.lower - self.upper);
        self.lower += share * (self.inlet - self.lower);

        let across = CONDUCTION * (self.upper - self.lower);
        let piping = if orders.recirculating { RECIRCULATION_LOSS } else { 0.0 };
        let top = if self.upper_element { ELEMENT } else { 0.0 };
        let element = if self.lower_element { ELEMENT } else { 0.0 };
        let bottom = element + self.heat_pump_heat();
        let upper_watts = top - across - (LOSS + piping) * (self.upper - self.ambient);
        let lower_watts = bottom + across - LOSS * (self.lower - self.ambient);
        self.upper += upper_watts * step / (litres * LITRE_HEAT);
        self.lower += lower_watts * step / (litres * LITRE_HEAT);
        if self.lower > self.upper {
            let mixed = f64::midpoint(self.lower, self.upper);
            (self.upper, self.lower) = (mixed, mixed);
        }
    }

    fn refrigerant(&mut self, step: f64) {
        let (evaporator, suction, discharge) = if self.compressor {
            (self.ambient - 9.0, self.ambient - 4.0, self.lower + 28.0)
        } else {
            (self.ambient, self.ambient, self.ambient)
        };
        let slow = 1.0 - (-step / 120.0).exp();
        self.evaporator += slow * (evaporator - self.evaporator);
        self.suction += slow * (suction - self.suction);
        self.discharge += slow * (discharge - self.discharge);
        self.fan_rpm += (1.0 - (-step / 8.0).exp()) * (self.target_fan_rpm() - self.fan_rpm);
        if self.compressor {
            self.fan_hours += step / 3600.0;
        }
    }

    fn consumption(&self, step: f64) -> Consumption {
        let hours = step / 3600.0;
        let element = self.upper_element || self.lower_element;
        Consumption {
            heat_pump_wh: self.heat_pump_power() * hours,
            element_wh: self.element_power() * hours,
            heat_pump_seconds: if self.compressor { step } else { 0.0 },
            element_seconds: if element { step } else { 0.0 },
        }
    }

    fn heat_pump_power(&self) -> f64 {
        if self.compressor { self.compressor_power() + FAN } else { 0.0 }
    }

    fn compressor_power(&self) -> f64 {
        320.0 + 3.0 * self.lower.clamp(10.0, 70.0)
    }

    fn heat_pump_heat(&self) -> f64 {
        if self.compressor { self.compressor_power() * self.efficiency() } else { 0.0 }
    }

    /// The compressor's coefficient of performance falls as the water gets warmer than the room.
    fn efficiency(&self) -> f64 {
        (4.4 - 0.045 * (self.lower - self.ambient)).clamp(1.8, 4.8)
    }

    fn element_power(&self) -> f64 {
        if self.upper_element || self.lower_element { ELEMENT } else { 0.0 }
    }
}

fn latch(running: bool, start: bool, stop: bool) -> bool {
    if running { !stop } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NIGHT: f64 = 1.5;

    fn orders(program: Program) -> HeatDemand {
        HeatDemand { program, target: 52.0, recirculating: false }
    }

    fn cold() -> Tank {
        let mut tank = Tank::new(246.0, 7);
        (tank.upper, tank.lower) = (30.0, 30.0);
        tank
    }

    #[test]
    fn each_program_uses_its_own_heat_sources() {
        for (program, pump, top) in [
            (Program::Off, false, false),
            (Program::HeatPump, true, false),
            (Program::Electric, false, true),
            (Program::EnergySaver, true, true),
            (Program::HighDemand, true, true),
        ] {
            let mut tank = cold();
            tank.advance(10.0, NIGHT, &orders(program));
            assert_eq!((tank.compressor, tank.upper_element), (pump, top), "{program:?}");
        }
    }

    #[test]
    fn heating_raises_the_temperature_by_the_energy_put_in() {
        let mut tank = cold();
        let before = tank.missing_wh(80.0);
        let mut used = 0.0;
        for _ in 0..6 {
            tank.flow = 0.0;
            tank.draw_left = 0.0;
            used += tank.advance(10.0, NIGHT, &orders(Program::Electric)).element_wh;
        }
        let gained = before - tank.missing_wh(80.0);
        assert!((gained - used).abs() < 0.05 * used, "gained {gained} Wh of {used} Wh");
    }

    #[test]
    fn the_heat_pump_gives_more_heat_than_it_takes_power() {
        let mut tank = cold();
        let before = tank.missing_wh(80.0);
        let used = tank.advance(60.0, NIGHT, &orders(Program::HeatPump)).heat_pump_wh;
        let gained = before - tank.missing_wh(80.0);
        assert!(gained > 2.0 * used && gained < 5.0 * used, "gained {gained} Wh of {used} Wh");
    }

    #[test]
    fn a_draw_cools_the_tank_and_is_counted() {
        let mut tank = Tank::new(246.0, 7);
        let (warm, drawn) = (tank.missing_wh(80.0), tank.drawn);
        (tank.flow, tank.draw_left) = (8.0, 600.0);
        tank.advance(300.0, NIGHT, &orders(Program::Off));
        assert!((tank.drawn - drawn - 40.0).abs() < 0.01);
        assert!(tank.missing_wh(80.0) > warm + 500.0);
    }

    #[test]
    fn an_idle_tank_cools_slowly() {
        let mut tank = Tank::new(246.0, 7);
        let before = tank.upper + tank.lower;
        for _ in 0..360 {
            (tank.flow, tank.draw_left) = (0.0, 0.0);
            tank.advance(10.0, NIGHT, &orders(Program::Off));
        }
        let fell = before - tank.upper - tank.lower;
        assert!(fell > 0.0 && fell < 2.0, "{fell} K");
    }

    #[test]
    fn heating_stops_at_the_target_and_waits_for_the_hysteresis() {
        let mut tank = cold();
        for _ in 0..20_000 {
            (tank.flow, tank.draw_left) = (0.0, 0.0);
            tank.advance(10.0, NIGHT, &orders(Program::HeatPump));
            if !tank.compressor {
                break;
            }
        }
        assert!(!tank.compressor && (tank.lower - 52.0).abs() < 0.5);
        tank.lower = 49.0;
        tank.switch(&orders(Program::HeatPump));
        assert!(!tank.compressor);
        tank.lower = 46.0;
        tank.switch(&orders(Program::HeatPump));
        assert!(tank.compressor);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_day_never_leaves_plausible_bounds(seed: u64, which in 0_usize..5, target in 35.0..65.5_f64) {
            let program = [
                Program::Off, Program::HeatPump, Program::Electric, Program::EnergySaver, Program::HighDemand,
            ][which];
            let orders = HeatDemand { program, target, recirculating: seed.is_multiple_of(2) };
            let mut tank = Tank::new(246.0, seed);
            let drawn = tank.drawn;
            for minute in 0..1440 {
                tank.advance(60.0, f64::from(minute) / 60.0, &orders);
                prop_assert!(tank.lower <= tank.upper + 1e-9);
                prop_assert!(tank.lower > 4.0 && tank.upper < 67.0, "{} {}", tank.lower, tank.upper);
                prop_assert!(tank.power() >= 0.0 && tank.power() < 5500.0);
                prop_assert!((0.0..=100.0).contains(&tank.charge_percent(target)));
                prop_assert!((0.0..=1200.0).contains(&tank.fan_rpm));
                prop_assert!(tank.discharge < 100.0 && tank.evaporator > 0.0);
            }
            prop_assert!((20.0..1500.0).contains(&(tank.drawn - drawn)), "{} L", tank.drawn - drawn);
        }
    }
}
