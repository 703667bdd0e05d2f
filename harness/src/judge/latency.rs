//! Latencies against a budget, judged on what is known of a percentile, not on the percentile seen.
//!
//! A percentile of a sample is a guess. What holds whatever the distribution: between two order
//! statistics the true percentile lies with a stated confidence ([`order`]). A budget is kept where
//! the upper of them is inside it, broken where the lower is beyond it, and anything else asks for
//! more samples ([`budget`]). How often may be looked is stated beforehand, and paid for with a
//! higher confidence at each look. Budgets hold on a reference machine; [`machine`] says what they
//! become on a slower one.

pub mod budget;
pub mod machine;
pub mod order;
