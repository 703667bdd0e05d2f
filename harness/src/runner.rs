//! Plans and runs cases: which, beside which, for how long, and what they came to.
