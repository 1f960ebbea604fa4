"""The paper, claim by claim: every figure and table as printed, as measured here, and what follows from both."""
