"""Predicates over a frame: `queue.depth > 100 and agent["reviewer"].online`.

    either     = both {"or" both}
    both       = negation {"and" negation}
    negation   = "not" negation | comparison
    comparison = sum [("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") sum]
    sum        = value {("+" | "-") value}
    value      = number | "text" | true | false | name | "(" either ")"

`names` lists what can be named. What is not there is null: compared with anything it is false.
Nothing is evaluated but these rules: a predicate is read to closures over a view.
"""
