package vtl

import (
	"slices"
	"strconv"
	"strings"
)

// parser reads a template once from its beginning to its end.
type parser struct {
	text   string
	known  Methods
	at     int
	opened int // where the block of the last #if begins
	first  int // the line of the text's beginning, less one, if it is a part of another
	depth  int
}

const maxDepth = 100

func (p *parser) line() int { return p.first + 1 + strings.Count(p.text[:p.at], "\n") }

func (p *parser) fail(format string, args ...any) error { return errorf(p.line(), format, args...) }

func (p *parser) rest() string { return p.text[p.at:] }

func (p *parser) deeper() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail("the template is nested too deeply")
	}
	return nil
}

// The directives that end a block, and so belong to the one before.
const (
	endElseif = "elseif"
	endElse   = "else"
	endEnd    = "end"
)

// block reads until the end of the text, or of a block: then the directive that ends it is next. level is how many blocks this one is in.
func (p *parser) block(level int) ([]node, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	var body []node
	for p.at < len(p.text) {
		next := strings.IndexAny(p.rest(), "$#\\")
		if next < 0 {
			body = append(body, text(p.rest()))
			p.at = len(p.text)
			break
		}
		if next > 0 {
			body = append(body, text(p.text[p.at:p.at+next]))
			p.at += next
		}
		var one node
		var err error
		switch p.text[p.at] {
		case '\\':
			one = p.escaped()
		case '$':
			one, err = p.reference()
		default:
			name, _ := p.directive()
			switch name {
			case endElseif, endElse, endEnd:
				if level == 0 {
					return nil, p.fail("#%s without #if or #foreach", name)
				}
				return body, nil
			}
			one, err = p.hash(name, level, &body)
		}
		if err != nil {
			return nil, err
		}
		if one != nil {
			body = append(body, one)
		}
	}
	if level > 0 {
		return nil, p.fail("#end is missing")
	}
	return body, nil
}

// escaped reads backslashes. Those before a reference or a directive quote it, two of them stand for one; all others are text.
func (p *parser) escaped() node {
	n := len(p.rest()) - len(strings.TrimLeft(p.rest(), `\`))
	slashes := p.text[p.at : p.at+n]
	p.at += n
	if p.at == len(p.text) {
		return text(slashes)
	}
	begin := p.at
	var quoted *reference
	switch p.text[p.at] {
	case '$':
		if r, err := p.reference(); err == nil {
			quoted, _ = r.(*reference)
		}
	case '#':
		if name, end := p.directive(); name != "" && n%2 == 1 {
			p.at = end
			return text(slashes[:n/2] + p.text[begin:end])
		} else if name != "" {
			return text(slashes[:n/2])
		}
	}
	p.at = begin
	if quoted == nil {
		return text(slashes)
	}
	if n%2 == 1 {
		p.at += len(quoted.source)
	}
	return &quote{slashes: n, ref: quoted}
}

// directives are the names that mean something after a #.
func directives() []string {
	return []string{"set", "if", endElseif, endElse, endEnd, "foreach", "break", "stop", "macro", "parse", "include", "evaluate", "define"}
}

// directive is the name of the directive that comes next, and where its name ends; none if what comes is text.
func (p *parser) directive() (name string, end int) {
	end = p.at + 1
	braces := end < len(p.text) && p.text[end] == '{'
	if braces {
		end++
	}
	begin := end
	for end < len(p.text) && isLetter(p.text[end]) {
		end++
	}
	name = p.text[begin:end]
	if braces {
		if end == len(p.text) || p.text[end] != '}' {
			return "", 0
		}
		end++
	}
	if !slices.Contains(directives(), name) {
		return "", 0
	}
	return name, end
}

// hash reads what begins with #, and is no end of a block. before is what was read of this block.
func (p *parser) hash(name string, level int, before *[]node) (node, error) {
	rest := p.rest()
	switch {
	case strings.HasPrefix(rest, "##"):
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest) - 1
		}
		p.at += end + 1
		return nil, nil //nolint:nilnil // a comment is nothing
	case strings.HasPrefix(rest, "#*"):
		end := strings.Index(rest[2:], "*#")
		if end < 0 {
			return nil, p.fail("a comment without *#")
		}
		p.at += end + 4
		return nil, nil //nolint:nilnil // a comment is nothing
	case strings.HasPrefix(rest, "#[["):
		end := strings.Index(rest, "]]#")
		if end < 0 {
			return nil, p.fail("#[[ without ]]#")
		}
		p.at += end + 3
		return text(rest[3:end]), nil
	case name == "":
		p.at++
		return text("#"), nil
	}
	line, start := p.line(), p.at
	_, p.at = p.directive()
	switch name {
	case "set":
		return p.set(line, before, start)
	case "if":
		return p.branches(level, before, start)
	case "foreach":
		return p.foreach(line, level, before, start)
	case "break", "stop":
		if p.begins(before, start) {
			p.newline()
		}
		return jump(name), nil
	}
	p.at = start
	return nil, p.fail("#%s is not emulated", name)
}

// begins reports whether a directive at start is the first of its line, or of the block that it is in. Then the white space before it goes.
func (p *parser) begins(before *[]node, start int) bool {
	line := strings.TrimRight(p.text[:start], " \t")
	if line != "" && !strings.HasSuffix(line, "\n") && len(line) > p.opened {
		return false
	}
	*before = trimLine(*before)
	return true
}

// newline skips the rest of a line that has nothing more.
func (p *parser) newline() {
	after := strings.TrimLeft(p.rest(), " \t")
	if strings.HasPrefix(after, "\n") || strings.HasPrefix(after, "\r\n") {
		p.at = len(p.text) - len(after) + strings.IndexByte(after, '\n') + 1
	}
}

// trimLine takes away the white space that a block's last line begins with.
func trimLine(body []node) []node {
	if len(body) == 0 {
		return body
	}
	last, ok := body[len(body)-1].(text)
	if !ok {
		return body
	}
	if trimmed := strings.TrimRight(string(last), " \t"); trimmed == "" || strings.HasSuffix(trimmed, "\n") {
		return append(slices.Clone(body[:len(body)-1]), text(trimmed))
	}
	return body
}

// open reads the bracket after a directive's name.
func (p *parser) open(name string) error {
	p.space()
	if p.at == len(p.text) || p.text[p.at] != '(' {
		return p.fail("#%s without (", name)
	}
	p.at++
	return nil
}

// want reads a text that has to be there.
func (p *parser) want(what string) error {
	p.space()
	if !strings.HasPrefix(p.rest(), what) {
		return p.fail("%s is missing", what)
	}
	p.at += len(what)
	return nil
}

func (p *parser) space() {
	p.at = len(p.text) - len(strings.TrimLeft(p.rest(), " \t\r\n"))
}

func (p *parser) set(line int, before *[]node, start int) (node, error) {
	if err := p.open("set"); err != nil {
		return nil, err
	}
	p.space()
	if p.at == len(p.text) || p.text[p.at] != '$' {
		return nil, p.fail("#set sets no reference")
	}
	target, err := p.reference()
	if err != nil {
		return nil, err
	}
	ref, ok := target.(*reference)
	if !ok {
		return nil, p.fail("#set sets no reference")
	}
	if err := p.want("="); err != nil {
		return nil, err
	}
	value, err := p.expression()
	if err != nil {
		return nil, err
	}
	if err := p.want(")"); err != nil {
		return nil, err
	}
	if p.begins(before, start) {
		p.newline()
	}
	return &set{line: line, ref: ref, value: value}, nil
}

// branches reads #if, what follows it, and the #end.
func (p *parser) branches(level int, before *[]node, start int) (node, error) {
	out := &branches{}
	alone := p.begins(before, start)
	for name := "if"; ; {
		b := branch{}
		var err error
		if name != endElse {
			if b.when, err = p.condition(name); err != nil {
				return nil, err
			}
		}
		p.newline()
		p.opened = p.at
		if b.body, err = p.block(level + 1); err != nil {
			return nil, err
		}
		p.begins(&b.body, p.at)
		out.list = append(out.list, b)
		last := name
		start = p.at
		name, p.at = p.directive()
		switch {
		case name == endEnd && alone:
			p.newline()
			return out, nil
		case name == endEnd:
			return out, nil
		case last == endElse:
			p.at = start
			return nil, p.fail("#%s after #else", name)
		}
	}
}

// condition reads what #if and #elseif have in brackets.
func (p *parser) condition(name string) (expression, error) {
	if err := p.open(name); err != nil {
		return nil, err
	}
	when, err := p.expression()
	if err != nil {
		return nil, err
	}
	return when, p.want(")")
}

func (p *parser) foreach(line, level int, before *[]node, start int) (node, error) {
	if err := p.open("foreach"); err != nil {
		return nil, err
	}
	p.space()
	item, err := p.plainReference()
	if err != nil {
		return nil, err
	}
	if err := p.want("in"); err != nil {
		return nil, err
	}
	list, err := p.expression()
	if err != nil {
		return nil, err
	}
	if err := p.want(")"); err != nil {
		return nil, err
	}
	alone := p.begins(before, start)
	p.newline()
	out := &foreach{line: line, item: item, list: list}
	if out.body, err = p.block(level + 1); err != nil {
		return nil, err
	}
	p.begins(&out.body, p.at)
	name, end := p.directive()
	if name == endElse { // since Velocity 2.3: for an empty list
		p.at = end
		p.newline()
		if out.otherwise, err = p.block(level + 1); err != nil {
			return nil, err
		}
		p.begins(&out.otherwise, p.at)
		name, end = p.directive()
	}
	if name != endEnd {
		return nil, p.fail("#%s in #foreach", name)
	}
	p.at = end
	if alone {
		p.newline()
	}
	return out, nil
}

func (p *parser) plainReference() (string, error) {
	if p.at < len(p.text) && p.text[p.at] == '$' {
		r, err := p.reference()
		if err != nil {
			return "", err
		}
		if ref, ok := r.(*reference); ok && len(ref.steps) == 0 {
			return ref.name, nil
		}
	}
	return "", p.fail("#foreach needs ($name in list)")
}

// reference reads what begins with a dollar: a reference, or text.
func (p *parser) reference() (node, error) {
	begin := p.at
	r := &reference{line: p.line()}
	p.at++
	if p.take('!') {
		r.quiet = true
	}
	braces := p.take('{')
	if braces && p.take('!') {
		r.quiet = true
	}
	r.name = p.name()
	if r.name == "" {
		p.at = begin + 1
		return text("$"), nil
	}
	if err := p.steps(r); err != nil {
		return nil, err
	}
	if braces {
		if !p.take('}') {
			return nil, p.fail("${%s without }", r.name)
		}
	}
	r.source = p.text[begin:p.at]
	if known, ok := p.known[r.name]; ok && len(r.steps) > 0 {
		if call, is := r.steps[0].(*method); is && !slices.Contains(known, call.name) {
			return nil, errorf(r.line, "$%s.%s() is not emulated", r.name, call.name)
		}
	}
	return r, nil
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *parser) name() string {
	begin := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		if !isLetter(c) && c != '_' && (p.at == begin || !isDigit(c) && c != '-') {
			break
		}
		p.at++
	}
	return p.text[begin:p.at]
}

// steps reads .property, .method(…) and [index].
func (p *parser) steps(r *reference) error {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '.':
			if p.at+1 == len(p.text) || !isLetter(p.text[p.at+1]) && p.text[p.at+1] != '_' {
				return nil // a full stop
			}
			p.at++
			name := p.name()
			if !p.take('(') {
				r.steps = append(r.steps, &property{name: name})
				continue
			}
			args, err := p.list(")")
			if err != nil {
				return err
			}
			r.steps = append(r.steps, &method{name: name, args: args})
		case '[':
			p.at++
			index, err := p.expression()
			if err != nil {
				return err
			}
			if err := p.want("]"); err != nil {
				return err
			}
			r.steps = append(r.steps, &method{name: "get", args: []expression{index}})
		default:
			return nil
		}
	}
	return nil
}

// list reads expressions with commas between them, up to and with their end.
func (p *parser) list(end string) (list []expression, err error) {
	p.space()
	if strings.HasPrefix(p.rest(), end) {
		p.at += len(end)
		return nil, nil
	}
	for {
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		p.space()
		if p.take(',') {
			continue
		}
		return list, p.want(end)
	}
}

// operators by how tightly they bind, the loosest first.
func operators() [][]string {
	return [][]string{
		{"||", "or"}, {"&&", "and"}, {"==", "!=", "eq", "ne"}, {"<=", ">=", "<", ">", "le", "ge", "lt", "gt"}, {"+", "-"}, {"*", "/", "%"},
	}
}

func (p *parser) expression() (expression, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	return p.binary(0)
}

func (p *parser) binary(level int) (expression, error) {
	all := operators()
	if level == len(all) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		p.space()
		line, operator := p.line(), ""
		for _, o := range all[level] {
			if strings.HasPrefix(p.rest(), o) && (!isLetter(o[0]) || len(p.rest()) > len(o) && !isLetter(p.rest()[len(o)])) {
				operator = o
				break
			}
		}
		if operator == "" {
			return left, nil
		}
		p.at += len(operator)
		right, err := p.binary(level + 1)
		if err != nil {
			return nil, err
		}
		left = &operation{line: line, operator: operator, left: left, right: right}
	}
}

func (p *parser) unary() (expression, error) {
	p.space()
	rest := p.rest()
	switch {
	case rest == "":
		return nil, p.fail("an expression is missing")
	case rest[0] == '!' || strings.HasPrefix(rest, "not ") || strings.HasPrefix(rest, "not("):
		p.at++
		if rest[0] != '!' {
			p.at += 2
		}
		if err := p.deeper(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		of, err := p.unary()
		return &not{of}, err
	case rest[0] == '(':
		p.at++
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		return e, p.want(")")
	}
	return p.operand(rest)
}

func (p *parser) operand(rest string) (expression, error) {
	switch c := rest[0]; {
	case c == '$':
		r, err := p.reference()
		if err != nil {
			return nil, err
		}
		if ref, ok := r.(*reference); ok {
			return ref, nil
		}
		return nil, p.fail("a reference is missing after $")
	case c == '"' || c == '\'':
		return p.quoted(c)
	case c == '[':
		return p.listOrRange()
	case c == '{':
		return p.mapping()
	case isDigit(c) || c == '-':
		return p.number()
	}
	for word, value := range map[string]any{"true": true, "false": false} {
		if strings.HasPrefix(rest, word) {
			p.at += len(word)
			return literal{value}, nil
		}
	}
	return nil, p.fail("%.20q is no expression", rest)
}

// quoted reads a text. One in double quotes is a template itself; two quotes in it stand for one.
func (p *parser) quoted(quote byte) (expression, error) {
	line := p.line()
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		if p.text[i] != quote {
			b.WriteByte(p.text[i])
			continue
		}
		if i+1 < len(p.text) && p.text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		p.at = i + 1
		s := b.String()
		if quote == '\'' || !strings.ContainsAny(s, "$#") {
			return literal{s}, nil
		}
		inner := &parser{text: s, known: p.known, first: line - 1, depth: p.depth}
		body, err := inner.block(0)
		return &interpolated{body: body}, err
	}
	return nil, p.fail("a text without its closing %c", quote)
}

func (p *parser) listOrRange() (expression, error) {
	line := p.line()
	p.at++
	p.space()
	if p.take(']') {
		return &listing{}, nil
	}
	first, err := p.expression()
	if err != nil {
		return nil, err
	}
	p.space()
	if strings.HasPrefix(p.rest(), "..") {
		p.at += 2
		last, err := p.expression()
		if err != nil {
			return nil, err
		}
		return &span{line: line, first: first, last: last}, p.want("]")
	}
	if !p.take(',') {
		return &listing{[]expression{first}}, p.want("]")
	}
	more, err := p.list("]")
	return &listing{append([]expression{first}, more...)}, err
}

func (p *parser) mapping() (expression, error) {
	p.at++
	out := &mapping{}
	p.space()
	if p.take('}') {
		return out, nil
	}
	for {
		key, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.want(":"); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		out.keys, out.values = append(out.keys, key), append(out.values, value)
		p.space()
		if !p.take(',') {
			return out, p.want("}")
		}
	}
}

func (p *parser) number() (expression, error) {
	begin := p.at
	p.take('-')
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	// 1..5 is a range, 1.5 a number
	if p.at+1 < len(p.text) && p.text[p.at] == '.' && isDigit(p.text[p.at+1]) {
		for p.at++; p.at < len(p.text) && isDigit(p.text[p.at]); p.at++ {
		}
		f, err := strconv.ParseFloat(p.text[begin:p.at], 64)
		if err != nil {
			return nil, p.fail("%s is no number", p.text[begin:p.at])
		}
		return literal{f}, nil
	}
	i, err := strconv.ParseInt(p.text[begin:p.at], 10, 64)
	if err != nil {
		return nil, p.fail("%s is no number", p.text[begin:p.at])
	}
	return literal{i}, nil
}
