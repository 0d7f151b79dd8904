// Only to ask Go's own path.Match.
module keyward.example/hack/path-match

go 1.24.0
