"""Functions of cPanel's and WHM's APIs that tell of mail, so that scripts written for them go on working."""
