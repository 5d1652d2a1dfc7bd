package management

import "net/http"

// Private endpoints do not exist here: their lists are empty, whatever is asked
// for by name is not there, and none can be made. Source: docs/protocol.md,
// section 13.1.

func (c *call) listNothing() (answer, error) {
	if _, _, err := c.parent(c.snapshot()); err != nil {
		return answer{}, err
	}
	return answerOK(page{Value: []any{}}), nil
}

func (c *call) getNothing() (answer, error) {
	if _, _, err := c.parent(c.snapshot()); err != nil {
		return answer{}, err
	}
	return answer{}, faultNotFound("resource", c.name)
}

func (c *call) putNothing() (answer, error) {
	if _, _, err := c.parent(c.snapshot()); err != nil {
		return answer{}, err
	}
	return answer{}, faultNotImplemented("This gateway has no private endpoints")
}

func (c *call) deleteNothing() (answer, error) {
	if _, _, err := c.parent(c.snapshot()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
