//! How much time a case may take.

use std::{env, fmt, str::FromStr, time::Duration};

/// Environment variable that chooses the budget.
pub const BUDGET_VARIABLE: &str = "AEGIS_BUDGET";

/// A time budget for one case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Budget {
    /// About 20 seconds: shows that everything works, decides little.
    Smoke,
    /// About a minute. The default.
    #[default]
    Quick,
    /// About five minutes.
    Standard,
    /// About half an hour.
    Thorough,
}

/// A budget of a name that we do not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{BUDGET_VARIABLE}={0:?} is not a budget: use smoke, quick, standard or thorough")]
pub struct UnknownBudget(String);

impl Budget {
    /// From `$AEGIS_BUDGET`; [`Budget::Quick`] if it is not set.
    ///
    /// # Errors
    /// If it is set to something else.
    pub fn from_env() -> Result<Self, UnknownBudget> {
        env::var(BUDGET_VARIABLE).map_or(Ok(Self::default()), |name| name.parse())
    }

    /// Time for the measuring of one case, all told.
    #[must_use]
    pub fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Smoke => 20,
            Self::Quick => 60,
            Self::Standard => 300,
            Self::Thorough => 1_800,
        })
    }

    /// Size of the big log: a tenth of the time for a tenth of the size.
    #[must_use]
    pub fn log_mebibytes(self) -> usize {
        match self {
            Self::Smoke | Self::Quick => 128,
            Self::Standard | Self::Thorough => 1 << 10,
        }
    }

    /// How long one build is to take: long enough for the noise of a start, short enough for some forty of them.
    #[must_use]
    pub fn build(self) -> Duration {
        Duration::from_millis(match self {
            Self::Smoke => 500,
            Self::Quick => 1_000,
            Self::Standard => 5_000,
            Self::Thorough => 30_000,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Thorough => "thorough",
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Budget {
    type Err = UnknownBudget;

    fn from_str(name: &str) -> Result<Self, UnknownBudget> {
        let all = [Self::Smoke, Self::Quick, Self::Standard, Self::Thorough];
        all.into_iter()
            .find(|budget| budget.name() == name)
            .ok_or_else(|| UnknownBudget(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_read_back_from_its_name() {
        for budget in [
            Budget::Smoke,
            Budget::Quick,
            Budget::Standard,
            Budget::Thorough,
        ] {
            assert_eq!(budget.to_string().parse(), Ok(budget));
        }
    }

    #[test]
    fn an_unknown_budget_lists_the_known_ones() {
        let error = "fast".parse::<Budget>().unwrap_err().to_string();
        assert!(
            error.contains("\"fast\"") && error.contains("smoke, quick, standard or thorough"),
            "{error}"
        );
    }
}
