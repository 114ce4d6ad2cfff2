"""Commands for those who run or maintain the course; the lessons don't need them."""
