//! How often requests may be sent again: where all workers fail, repetitions must not double the
//! load.

/// The most that can be saved, in parts that requests earn.
const MOST: u32 = 100;

/// What a repetition costs: each request earns a tenth of one.
const PRICE: u32 = 10;

/// What is left to be spent on repetitions.
#[derive(Debug)]
pub(crate) struct RetryBudget(u32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(MOST)
    }
}

impl RetryBudget {
    /// A request has come.
    pub(crate) fn earn(&mut self) {
        self.0 = (self.0 + 1).min(MOST);
    }

    /// Takes what a repetition costs; whether there was that much.
    pub(crate) fn spend(&mut self) -> bool {
        match self.0.checked_sub(PRICE) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_repetitions_may_be_had_at_once_and_one_for_each_ten_requests() {
        let mut budget = RetryBudget::default();
        let spent = |budget: &mut RetryBudget| (0..100).take_while(|_| budget.spend()).count();
        assert_eq!(spent(&mut budget), 10);
        for (requests, repetitions) in [(9, 0), (1, 1), (25, 2), (5, 1)] {
            (0..requests).for_each(|_| budget.earn());
            assert_eq!(spent(&mut budget), repetitions);
        }
        (0..1000).for_each(|_| budget.earn());
        assert_eq!(spent(&mut budget), 10);
    }
}
