"""The tables of a leaderboard by subject: which metrics stand in each, and what must be known to read them."""

from __future__ import annotations

# scores of an explainer beside which chance's value stands: the ranked ones, and plausibility
FLOORS = (
    "dnaopc", "faithfulness_correlation", "drift_tau", "drift_overlap", "unchanged_tau", "attacked_tau",
    "edit_tau_worst", "edit_tau", "edit_overlap", "typo_tau", "synonym_tau", "seed_tau", "rationale_ap",
    "rationale_f1", "lexicon_ap", "lexicon_f1", "own_words_ap", "own_words_f1",
)  # fmt: skip
# title, the metrics in it, and what must be known to read it
SECTIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Robustness",
        ("aua_calibrated", "transfer_accuracy"),
        "AUA: accuracy under attack over all attacked texts, after temperature calibration. Transfer: accuracy on the "
        "adversarial texts of the baseline of another seed.",
    ),
    (
        "Robustness: entities",
        ("entity_f1_attacked", "transfer_f1"),
        "Strict entity F1 over all attacked sentences, those that were wrong without an attack included as they were. "
        "Transfer F1: on the sentences that fooled the baseline of another seed.",
    ),
    (
        "Natural shift",
        ("invariance_failure",),
        "Answers changed by a typing error, contractions written out or made, other names, other numbers, a full stop "
        "more or less, lower case, a capital at the start, over the attacked texts that were answered rightly and that "
        "have what is changed. Nobody searches for the change that hurts. Tagging: the entities of the sentence.",
    ),
    (
        "Generalisation and calibration",
        (
            "ood_accuracy", "ood_f1", "worst_group_accuracy", "group_accuracy", "generalisation_gap", "ece_calibrated",
            "ece_raw", "brier_calibrated", "brier_raw",
        ),
        "Training minus validation: the score on as many training texts as there are validation texts, less the score "
        "on those. ECE: expected calibration error over equal-mass bins. Calibrated: after the temperature fitted on "
        "validation. Brier: mean squared distance of the probabilities to the label, summed over classes.",
    ),
    (
        "Explanations: faithfulness",
        (
            "dnaopc", "faithfulness_correlation", "completeness_failures", "randomisation_failures",
            "comprehensiveness", "sufficiency", "masked_keeps_class",
        ),
        "dNAOPC: the faithfulness gap. Correlation: of the scores of random words with what masking these words does. "
        "Randomisation: texts whose attribution stays (tau-b above 0.5) when the weights are shuffled. "
        "Comprehensiveness and sufficiency move with confidence alone; they are shown, never ranked.",
    ),
    (
        "Explanations: stability",
        (
            "drift_tau", "drift_overlap", "unchanged_tau", "attacked_tau", "edit_tau_worst", "edit_tau", "edit_overlap",
            "typo_tau", "synonym_tau", "edit_coverage", "seed_tau", "baseline_tau",
        ),
        "Rank agreement (Kendall's tau-b) and overlap of the top fifth of the words (1: the same, 0: chance) of a "
        "text's attribution with another of it. Drift: with its adversarial version; entity unchanged: of the entities "
        "that are still found there. Edits: with up to 10 versions "
        "with typing errors or near synonyms that keep the class, over the words left alone. Attacked explanation "
        "(--adaptive): near synonyms chosen to keep the class and move the attribution. Seed: with the same arm's "
        "next seed, of taggers over the entities that both find. That a model explains itself as the baseline does is "
        "neither good nor bad.",
    ),
    (
        "Explanations: plausibility and reading",
        (
            "rationale_ap", "rationale_f1", "lexicon_ap", "lexicon_f1", "own_words_ap", "own_words_f1",
            "effective_words", "self_share", "method_agreement", "explain_seconds",
        ),
        "AP*: average precision of the marked words, 1 where they all come first, 0 at chance. Plausible is what looks "
        "right to people, not what the model did; words of a sentiment lexicon, and an entity's own (of the entities "
        "found as they are in the data), are shown, never ranked. Effective words: how many an attribution is spread "
        "over. On the entity itself: the part that lies on its own words.",
    ),
    (
        "Stability",
        ("unhealthy_runs", "seed_deviation", "clipped_share", "loss_spikes"),
        "Unhealthy runs: failed, diverged, exploding, vanishing or degenerate (no better than one answer for every "
        "text), with Wilson's interval. SD: sample standard deviation of the ranked score; a run without a score is in "
        "neither it nor the mean. Clipped steps and loss spikes are shown, never ranked.",
    ),
    (
        "Cost",
        (
            "step_time_ratio", "counted_cost", "peak_memory_ratio", "trainable_share", "tokens_per_second",
            "samples_per_second", "train_seconds", "failed_runs",
        ),
        "Step time and memory are ratios to the baseline measured in the same run, medians of several rounds. Counted "
        "passes: forward and backward passes over the training, preparation included, a backward pass as two forward "
        "ones, over the baseline's; it knows neither the optimiser's share nor frozen parameters.",
    ),
    (
        "Attacks in detail",
        (
            "worst_case_calibrated", "worst_case_raw", "worst_case_adaptive", "entity_f1_adaptive", "aua_raw",
            "aua_sweep", "entity_f1_sweep", "asr",
            "asr_shared", "queries", "words_changed", "words_changed_all", "similarity", "perplexity_rise",
            "retagged", "errors_added", "temperature", "score_levels", "attack_errors",
        ),
        "Raw: without temperature calibration. Adaptive: what survived attacked again with twice the budget and other "
        "seeds. Lowest over temperatures: texts that survive at the calibrated temperature times 1/20, 1/4, 1, 4 and "
        "20, and raw, of the first quarter; taggers around 1. ASR: attack success rate over the texts classified "
        "correctly before; shared: over those that every arm of that seed gets right. Queries per attacked text; words "
        "changed in successes, and over all attacked texts with 0 for survivors. Similarity: cosine of a success with "
        "its original in the sentence encoder. Log perplexity rise: ln of the success's perplexity less ln of the "
        "original's. Word class changed: of the words that took another's place in successes, those whose Penn tag "
        "there is another one, or that a or an before them no longer fits; no count of errors. LanguageTool errors "
        "added: per success, measured where LanguageTool is installed. Distinct answers: different probabilities per "
        "text classified correctly, at the temperature of the sweep that shows most.",
    ),
)  # fmt: skip
