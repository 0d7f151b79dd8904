// Path-match prints what Go's path.Match says of thousands of patterns and names, for the tests of the policy's globs.
// The table is the same on every run:
//
//	cd hack/go/path-match && go run . > ../../../policy/vectors/path_match.tsv
package main

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strings"
	"unicode/utf8"
)

// Every one of these is asked about every one of handNames. No tab and no line end: the table has none of them.
var handPatterns = strings.Split(""+
	" a abc /v1/messages /v1/* /v1/** /v1/**/x /v1/*/x * ** *** */ /* */* *a a* *a* a*b *x a*/b a*b*c*/f a*b?c*x ab[c] ab*"+
	" ? ?? *? ?* *?? ??* a?b a???b"+
	" [a] [^a] [ab] [a-c] [^a-c] [c-a] [a-a] [a-cx-z] [^/] [/] a[/]b a[^a]b a[^b]*b *[^a]*b *[^/]*b [^a]/ [!a] [ab]* *[ab] [a-c]*[x-z]"+
	" []a] [] [^] [^]a] [-] [a-] [-a] [^-] [^-a] [a-b-c] [a--] [--a] [a-]] [a-\\]] [\\]a] [\\-] [x\\-] [\\-x] [\\^a] [^\\^] [^^] [a^] [[] [[a] []] [a]] [\\\\] [\\"+
	" [*] [?] [a*]b [*a]*[?] *[*]* [\\*] [a[*]"+
	" [ [^ [a [^bc [a- [a-b a[ *[ b[ a/b[ a*[ *a[ a*b[ *[a *[a]*[ x*[-] *]"+
	" \\ \\\\ \\a \\* a\\*b \\[a] \\? *\\ a\\ a*\\ *a\\ \\/ /\\v1 \\\\* [a\\"+
	" ☺ \\☺ a☺b [☺] [^☺] [☻-☺] [☺-☻] [a-ζ] [a-ζ]* *[a-ζ] a[^a][^a][^a]b *☺ *☺* *[^a]b *[^☺a][^a]*b é ?é [�]", " ")

var handNames = strings.Split(""+
	" a b c x ab abc axbxc abxbbxdbxebxczzx abxbbxdbxebxczzy axbxcxdxe/f axbxcxdxexxx/f axbxc/xxx/f"+
	" / // /a a/ a/b a/c/b x/b xb abc/b ab/c /v1/messages /v1/messages/ /v1/messages/count_tokens /v1/Messages /v1/ /v1 /v1/a/b /v1/a/x"+
	" * ? [ ] - ^ \\ ! a*b [a] a] -] \\a *b"+
	" ☺ ☻ ☺☺ a☺b ☺b ☺x/b α A é aé �", " ")

// The random ones are made of these.
var patternPieces = strings.Split("a b c / * * ? [ab] [^a] [a-b] [^/] [^a-b] [/-b] [\\]a] [a-] \\* \\a \\ [ ] - ^ a b c / * ☺ [☺-☻] é", " ")
var namePieces = strings.Split("a a b b c / / * ] - ^ [ \\ ☺ é", " ")

const randomPatterns = 2000

// A generator of our own, so that no release of Go changes the table.
type splitMix uint64

func (s *splitMix) below(n int) int {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return int((z ^ (z >> 31)) >> 33 % uint64(n))
}

func (s *splitMix) text(pieces []string, most int) string {
	var text strings.Builder
	for range s.below(most + 1) {
		text.WriteString(pieces[s.below(len(pieces))])
	}
	return text.String()
}

// A name that has some chance to match: random ones rarely do.
func (s *splitMix) like(pattern string) string {
	var name strings.Builder
	for pattern != "" {
		first, size := utf8.DecodeRuneInString(pattern)
		pattern = pattern[size:]
		switch first {
		case '*':
			name.WriteString(s.text(namePieces, 2))
		case '?':
			name.WriteString(namePieces[s.below(len(namePieces))])
		case '[':
			inside, after, _ := strings.Cut(pattern, "]")
			name.WriteString(s.member(inside))
			pattern = after
		case '\\':
		default:
			name.WriteRune(first)
		}
	}
	return name.String()
}

// Something that a class may accept.
func (s *splitMix) member(class string) string {
	members := []rune(strings.Trim(class, "\\-"))
	if len(members) == 0 || strings.HasPrefix(class, "^") {
		return namePieces[s.below(len(namePieces))]
	}
	return string(members[s.below(len(members))])
}

func answer(pattern, name string) string {
	matched, err := path.Match(pattern, name)
	switch {
	case err != nil:
		return "malformed"
	case matched:
		return "yes"
	default:
		return "no"
	}
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	known := map[[2]string]bool{}
	row := func(pattern, name string) {
		if key := [2]string{pattern, name}; !known[key] {
			known[key] = true
			fmt.Fprintf(out, "%s\t%s\t%s\n", pattern, name, answer(pattern, name))
		}
	}
	fmt.Fprintln(out, "pattern\tname\tanswer")
	for _, pattern := range handPatterns {
		for _, name := range handNames {
			row(pattern, name)
		}
	}
	random := splitMix(1)
	for range randomPatterns {
		pattern := random.text(patternPieces, 7)
		row(pattern, random.text(namePieces, 5))
		for range 2 {
			row(pattern, random.like(pattern))
		}
	}
}
