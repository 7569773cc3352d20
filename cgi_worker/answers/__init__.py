"""One module an answer that is no picture, with what they share; the frame is lent to them as it is to a step."""
