"""The measures of an audit: one file each, beside `base`.

A measure is found by lying in this folder. What several measures share lies one level up: the
encoder (`extractor`), swapped and shuffled views (`shared_views`), what moves (`moving`), saliency
(`saliency`, `saliency_pictures`) and static distractors.
"""
