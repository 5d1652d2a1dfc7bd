package hyco

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// EntryMax bounds an Atom entry that a client sends, in bytes. Beyond it
// ParseEntry refuses it with 413. It is ours: metadata and twelve rules with
// the longest names and keys take a third of it.
const EntryMax = 64 << 10

// entryDepthMax bounds the elements of an entry that are open at once; one
// that is written as Azure's clients do has eight.
const entryDepthMax = 32

// ParseEntry reads the Atom entry with which a client makes or changes an
// entity.
//
//	Shape:  <entry>, in it <content>, in it a HybridConnectionDescription or a
//	        RelayDescription. Members may come in any order; unknown elements,
//	        and those that clients only read, are skipped. What is absent, or
//	        i:nil, is its default: true for the two members that require
//	        something, nil for rules. Names and rights are not checked against
//	        what an entity can have.
//	Errors: RefusalBadDescription, RefusalBodyTooLarge. They quote nothing of
//	        the body, which holds keys.
//	Bounds: EntryMax bytes, 32 levels, no document type, no entities but the
//	        five of XML, no member twice.
//	Source: docs/protocol.md, section 5.11.
func ParseEntry(body []byte) (Description, error) {
	if len(body) > EntryMax {
		return Description{}, RefusalBodyTooLarge
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	p := entryParser{d: xml.NewDecoder(bytes.NewReader(body))}
	if err := p.document(); err != nil {
		return Description{}, RefusalBadDescription.Because(err.Error())
	}
	return p.out, nil
}

// entryParser walks through one document.
type entryParser struct {
	d     *xml.Decoder
	depth int
	found bool // a description
	out   Description
}

var (
	errEntryType    = errors.New("it has a document type")
	errEntryDepth   = errors.New("its elements are nested too deep")
	errEntryRoot    = errors.New("it is no Atom entry")
	errEntryContent = errors.New("its content is no HybridConnectionDescription and no " +
		"RelayDescription")
	errEntrySecond = errors.New("it has more than one root, or more than one description")
	errEntryRule   = errors.New("its rules are not all of the type " + sharedAccessRule)
)

// document reads everything.
func (p *entryParser) document() error {
	for root := false; ; {
		t, err := p.next()
		switch t := t.(type) {
		case nil:
			if err == io.EOF && p.found {
				return nil
			}
			if err == io.EOF {
				return errEntryContent
			}
			return err
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errEntryRoot
			}
		case xml.StartElement:
			if root {
				return errEntrySecond
			}
			if root = t.Name == (xml.Name{Space: atomNamespace, Local: "entry"}); !root {
				return errEntryRoot
			}
			if err := p.each(p.entryMember); err != nil {
				return err
			}
		}
	}
}

func (p *entryParser) entryMember(e xml.StartElement) error {
	if e.Name == (xml.Name{Space: atomNamespace, Local: "content"}) {
		return p.each(p.description)
	}
	return p.skip()
}

// description reads the element in the content.
func (p *entryParser) description(e xml.StartElement) error {
	known := e.Name.Local == hybridConnectionElement || e.Name.Local == wcfRelayElement
	switch {
	case !known || e.Name.Space != relayNamespace:
		return errEntryContent
	case p.found:
		return errEntrySecond
	}
	p.found = true
	p.out = Description{WCF: e.Name.Local == wcfRelayElement, RequiresClientAuthorization: true,
		RequiresTransportSecurity: true}
	if !p.out.WCF {
		p.out.RequiresTransportSecurity = false
	}
	return p.members(p.descriptionMember)
}

func (p *entryParser) descriptionMember(name string) error {
	var err error
	switch name {
	case "RequiresClientAuthorization":
		p.out.RequiresClientAuthorization, err = p.boolean(name)
	case "UserMetadata":
		p.out.UserMetadata, err = p.text()
	case "AuthorizationRules":
		p.out.Rules = []DescribedRule{}
		err = p.each(p.rule)
	case "RelayType":
		if !p.out.WCF {
			return p.skip()
		}
		p.out.RelayType, err = p.word()
	case "RequiresTransportSecurity":
		if !p.out.WCF {
			return p.skip()
		}
		p.out.RequiresTransportSecurity, err = p.boolean(name)
	default:
		return p.skip()
	}
	return err
}

// rule reads an element of AuthorizationRules.
func (p *entryParser) rule(e xml.StartElement) error {
	if e.Name != (xml.Name{Space: relayNamespace, Local: "AuthorizationRule"}) {
		return p.skip()
	}
	for _, a := range e.Attr {
		_, local, prefixed := strings.Cut(a.Value, ":")
		if !prefixed {
			local = a.Value
		}
		if a.Name == (xml.Name{Space: schemaNamespace, Local: "type"}) && local != sharedAccessRule {
			return errEntryRule
		}
	}
	var r DescribedRule
	err := p.members(func(name string) (err error) {
		switch name {
		case "KeyName":
			r.Name, err = p.word()
		case "PrimaryKey":
			r.PrimaryKey, err = p.word()
		case "SecondaryKey":
			r.SecondaryKey, err = p.word()
		case "Rights":
			err = p.each(func(e xml.StartElement) error {
				if e.Name != (xml.Name{Space: relayNamespace, Local: "AccessRights"}) {
					return p.skip()
				}
				right, err := p.word()
				r.Rights = append(r.Rights, right)
				return err
			})
		default:
			err = p.skip()
		}
		return err
	})
	p.out.Rules = append(p.out.Rules, r)
	return err
}

// members calls f, which reads to the end of its element, for each member of
// the relay's namespace that is not nil; none may come twice.
func (p *entryParser) members(f func(name string) error) error {
	seen := map[string]bool{}
	return p.each(func(e xml.StartElement) error {
		for _, a := range e.Attr {
			if a.Name == (xml.Name{Space: schemaNamespace, Local: "nil"}) &&
				(a.Value == "true" || a.Value == "1") {
				return p.skip()
			}
		}
		if e.Name.Space != relayNamespace {
			return p.skip()
		}
		if seen[e.Name.Local] {
			return errors.New("one of its members comes twice")
		}
		seen[e.Name.Local] = true
		return f(e.Name.Local)
	})
}

// next is the next start or end of an element, or text.
func (p *entryParser) next() (xml.Token, error) {
	for {
		t, err := p.d.Token()
		if err == io.EOF {
			return nil, err
		}
		if err != nil {
			line, _ := p.d.InputPos()
			return nil, errors.New("it is no well-formed XML in UTF-8, line " + strconv.Itoa(line))
		}
		switch t.(type) {
		case xml.StartElement:
			if p.depth++; p.depth > entryDepthMax {
				return nil, errEntryDepth
			}
			return t, nil
		case xml.EndElement:
			p.depth--
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, errEntryType
		}
	}
}

// each calls f, which reads to the end of its element, for each element in the
// present one, and reads to the end of that.
func (p *entryParser) each(f func(xml.StartElement) error) error {
	for {
		t, err := p.next()
		switch t := t.(type) {
		case nil:
			return err
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if err := f(t); err != nil {
				return err
			}
		}
	}
}

// skip reads to the end of the present element.
func (p *entryParser) skip() error {
	return p.each(func(xml.StartElement) error { return p.skip() })
}

// text is what the present element holds, to its end.
func (p *entryParser) text() (string, error) {
	var text []byte
	for {
		t, err := p.next()
		switch t := t.(type) {
		case nil:
			return "", err
		case xml.EndElement:
			return string(text), nil
		case xml.CharData:
			text = append(text, t...)
		case xml.StartElement:
			return "", errors.New("one of its members holds an element in place of text")
		}
	}
}

// word is text without the white space around it.
func (p *entryParser) word() (string, error) {
	text, err := p.text()
	return strings.Trim(text, " \t\r\n"), err
}

func (p *entryParser) boolean(name string) (bool, error) {
	word, err := p.word()
	if err != nil {
		return false, err
	}
	switch word {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New(name + " is neither true nor false")
}
