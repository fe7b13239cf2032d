package main

// How a number is cited, in a comment or a string:
//
//	PAR-016                      one line
//	PAR-016..018                 a range, also PAR-016..PAR-018, PAR-016 to PAR-018, PAR-016…018
//	PAR-016, -017                a list of one group
//
// Numbers are those of the checklist; every number of a range must be one.

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// citations finds numbers in text.
type citations struct {
	known map[number]bool
	first *regexp.Regexp // a number in full: group, digits
	more  *regexp.Regexp // what continues it, from the beginning: to, group, digits; or digits after a comma
}

func newCitations(list checklist) citations {
	groups := strings.Join(list.prefixes(), "|")
	return citations{
		known: list.known,
		first: regexp.MustCompile(`\b(` + groups + `)-(\d{3})\b`),
		more:  regexp.MustCompile(`^(?:\s*(?:\.\.|…|\bto\b)\s*(?:(` + groups + `)-)?(\d{3})\b|,\s*-(\d{3})\b)`),
	}
}

// in returns the numbers that text cites, in its order; the problems are about numbers that the checklist does not have.
func (c citations) in(text string) (found []number, problems []string) {
	add := func(prefix string, from, to int) {
		for i := from; i <= to; i++ {
			n := number(fmt.Sprintf("%s-%03d", prefix, i))
			if !c.known[n] {
				problems = append(problems, fmt.Sprintf("%s is not in %s", n, checklistFile))
				return
			}
			found = append(found, n)
		}
	}
	for {
		m := c.first.FindStringSubmatchIndex(text)
		if m == nil {
			return found, problems
		}
		prefix, last := text[m[2]:m[3]], atoi(text[m[4]:m[5]])
		add(prefix, last, last)
		text = text[m[1]:]
		for m := c.more.FindStringSubmatch(text); m != nil; m = c.more.FindStringSubmatch(text) {
			text = text[len(m[0]):]
			switch to, item := atoi(m[2]), atoi(m[3]); {
			case m[3] != "":
				add(prefix, item, item)
				last = item
			case m[1] != "" && m[1] != prefix || to <= last:
				problems = append(problems, fmt.Sprintf("%s-%03d%s is not a range", prefix, last, m[0]))
			default:
				add(prefix, last+1, to)
				last = to
			}
		}
	}
}

// atoi reads three digits, or nothing as 0.
func atoi(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}
